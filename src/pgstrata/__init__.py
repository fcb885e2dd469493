"""One folder of layered YAML drives every PostgreSQL connection of a project, in every environment."""
