CREATE TABLE IF NOT EXISTS ledger (id uuid PRIMARY KEY, amount integer NOT NULL);
