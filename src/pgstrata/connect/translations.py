"""What a server says, in the languages of PostgreSQL's own catalogues, when it has no time or room
(SQLSTATE 57P03 and 53300), or ends a connection itself (57P01).

A refusal comes in the language of the server's ``lc_messages``, and libpq hands on nothing else of
it. A language that is not here is taken for a refusal, and asked again once a second.
"""

from __future__ import annotations

import re

BUSY = re.compile(
    "das Datenbanksystem|zu viele Verbindungen|verbleibenden Verbindungen"
    "|el sistema de bases? de datos|demasiados clientes|demasiadas conexiones|conexiones restantes"
    "|le système de bases? de données|trop de clients|trop de connexions"
    "|emplacements de connexions restants"
    "|il database (si sta|è in)|il sistema di database|troppi client|troppe connessioni"
    "|rimanenti slot"
    "|データベースシステムは|クライアント数が多すぎ|接続が多すぎ|残りの接続スロット"
    "|მონაცემთა ბაზის სისტემ|მეტისმეტად ბევრი|ძალიან ბევრი კავშირი"
    "|데이터베이스 시스템|접속자 수를 초과|접속수를 초과|남은 연결 슬롯"
    "|система (баз данных|БД)|слишком много (клиентов|подключений)|слоты подключений"
    "|databassystemet|för många (klienter|uppkopplingar)|anslutningsslottar"
    "|система бази даних|забагато клієнтів|занадто багато підключень|слоти підключень"
    "|数据库系统|太多的客户|连接太多|已保留的连接位置"
)
ENDED = re.compile(
    "Anweisung des Administrators|orden del administrador|demande de l'administrateur"
    "|comando dell'amministratore|管理者コマンド|ადმინისტრატორის ბრძანების|관리자 요청"
    "|команде администратора|administratörskommando|команді адміністратора|管理员命令"
)
