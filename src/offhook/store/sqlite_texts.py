"""The statements of ``statements.py`` and the tables of ``schema.py`` as SQLite reads them.

Written by ``python -m offhook.store.statements``; not by hand.
"""

CREATE = (
    """
CREATE TABLE calls ( id TEXT NOT NULL, platform TEXT NOT NULL, begun_at DOUBLE NOT NULL, last_at DOUBLE NOT NULL,
named BOOLEAN NOT NULL, room TEXT, caller TEXT, callee TEXT, caller_mark TEXT, callee_mark TEXT, user_data TEXT,
state TEXT, ended_at DOUBLE, ended_by TEXT, connected_at DOUBLE, hung_up_by TEXT, duration DOUBLE, CONSTRAINT
pk_calls PRIMARY KEY (id) )
""",
    """
CREATE INDEX ix_calls_callee_mark ON calls (callee_mark)
""",
    """
CREATE INDEX ix_calls_caller_mark ON calls (caller_mark)
""",
    """
CREATE INDEX ix_calls_last_at ON calls (last_at)
""",
    """
CREATE TABLE intents ( "key" TEXT NOT NULL, call_id TEXT NOT NULL, turn TEXT NOT NULL, tool TEXT NOT NULL, at DOUBLE
NOT NULL, outcome TEXT, code TEXT, result TEXT, ended_at DOUBLE, CONSTRAINT pk_intents PRIMARY KEY ("key") )
""",
    """
CREATE INDEX ix_intents_at ON intents (at)
""",
    """
CREATE INDEX ix_intents_call_id ON intents (call_id)
""",
    """
CREATE TABLE spoken ( call_id TEXT NOT NULL, "key" TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL, at DOUBLE,
turn_id TEXT, CONSTRAINT pk_spoken PRIMARY KEY (call_id, "key"), CONSTRAINT fk_spoken_call_id_calls FOREIGN
KEY(call_id) REFERENCES calls (id) ON DELETE CASCADE ) WITHOUT ROWID
""",
    """
CREATE TABLE turns ( id INTEGER NOT NULL, uid TEXT NOT NULL, call_id TEXT NOT NULL, model TEXT NOT NULL, turn_id
TEXT, request_id TEXT NOT NULL, which TEXT NOT NULL, kind TEXT NOT NULL, said TEXT NOT NULL, digest BLOB NOT NULL,
spoken BLOB NOT NULL, stream BOOLEAN NOT NULL, memory TEXT NOT NULL, prompt TEXT, generated TEXT NOT NULL, sent TEXT
NOT NULL, map TEXT NOT NULL, heard BIGINT, reason TEXT NOT NULL, error TEXT, prompt_tokens BIGINT, completion_tokens
BIGINT, received_at DOUBLE NOT NULL, started DOUBLE, first_useful DOUBLE, first_byte DOUBLE, cancelled DOUBLE, ended
DOUBLE, cost DOUBLE, CONSTRAINT pk_turns PRIMARY KEY (id), CONSTRAINT uq_turns_uid UNIQUE (uid), CONSTRAINT
fk_turns_call_id_calls FOREIGN KEY(call_id) REFERENCES calls (id) ON DELETE CASCADE )
""",
    """
CREATE INDEX ix_turns_call_id_received_at ON turns (call_id, received_at)
""",
    """
CREATE TABLE events ( turn_uid TEXT NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL, at DOUBLE NOT NULL,
data TEXT NOT NULL, CONSTRAINT pk_events PRIMARY KEY (turn_uid, position), CONSTRAINT fk_events_turn_uid_turns
FOREIGN KEY(turn_uid) REFERENCES turns (uid) ON DELETE CASCADE ) WITHOUT ROWID
""",
    """
CREATE TABLE alembic_version ( version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY
(version_num) )
""",
)

PUT_CALL = """
INSERT INTO calls (id, platform, begun_at, last_at, named, room, caller, callee, caller_mark, callee_mark,
user_data, state, ended_at, ended_by, connected_at, hung_up_by, duration) SELECT ? AS anon_1, ? AS anon_2, ? AS
anon_3, ? AS anon_4, ? AS anon_5, ? AS anon_6, ? AS anon_7, ? AS anon_8, ? AS anon_9, ? AS anon_10, ? AS anon_11, ?
AS anon_12, ? AS anon_13, ? AS anon_14, ? AS anon_15, ? AS anon_16, ? AS anon_17 WHERE ? = 1 OR (EXISTS (SELECT *
FROM calls WHERE calls.id = ?)) ON CONFLICT (id) DO UPDATE SET platform = CASE WHEN (excluded.last_at >=
calls.last_at) THEN excluded.platform ELSE calls.platform END, begun_at = CASE WHEN (excluded.begun_at <
calls.begun_at) THEN excluded.begun_at ELSE calls.begun_at END, last_at = CASE WHEN (excluded.last_at >=
calls.last_at) THEN excluded.last_at ELSE calls.last_at END, named = CASE WHEN (excluded.last_at >= calls.last_at)
THEN excluded.named ELSE calls.named END, room = CASE WHEN (excluded.last_at >= calls.last_at) THEN
coalesce(excluded.room, calls.room) ELSE coalesce(calls.room, excluded.room) END, caller = CASE WHEN
(excluded.last_at >= calls.last_at) THEN coalesce(excluded.caller, calls.caller) ELSE coalesce(calls.caller,
excluded.caller) END, callee = CASE WHEN (excluded.last_at >= calls.last_at) THEN coalesce(excluded.callee,
calls.callee) ELSE coalesce(calls.callee, excluded.callee) END, caller_mark = CASE WHEN (excluded.last_at >=
calls.last_at) THEN coalesce(excluded.caller_mark, calls.caller_mark) ELSE coalesce(calls.caller_mark,
excluded.caller_mark) END, callee_mark = CASE WHEN (excluded.last_at >= calls.last_at) THEN
coalesce(excluded.callee_mark, calls.callee_mark) ELSE coalesce(calls.callee_mark, excluded.callee_mark) END,
user_data = CASE WHEN (excluded.last_at >= calls.last_at) THEN coalesce(excluded.user_data, calls.user_data) ELSE
coalesce(calls.user_data, excluded.user_data) END, state = CASE WHEN (excluded.last_at >= calls.last_at) THEN
coalesce(excluded.state, calls.state) ELSE coalesce(calls.state, excluded.state) END, ended_at = CASE WHEN
(excluded.last_at >= calls.last_at) THEN excluded.ended_at ELSE calls.ended_at END, ended_by = CASE WHEN
(excluded.last_at >= calls.last_at) THEN excluded.ended_by ELSE calls.ended_by END, connected_at = CASE WHEN
(excluded.last_at >= calls.last_at) THEN coalesce(excluded.connected_at, calls.connected_at) ELSE
coalesce(calls.connected_at, excluded.connected_at) END, hung_up_by = CASE WHEN (excluded.last_at >= calls.last_at
AND excluded.ended_by IS NULL) THEN excluded.hung_up_by WHEN (excluded.last_at >= calls.last_at) THEN
coalesce(excluded.hung_up_by, calls.hung_up_by) WHEN (calls.ended_by IS NULL) THEN calls.hung_up_by ELSE
coalesce(calls.hung_up_by, excluded.hung_up_by) END, duration = CASE WHEN (excluded.last_at >= calls.last_at AND
excluded.ended_by IS NULL) THEN excluded.duration WHEN (excluded.last_at >= calls.last_at) THEN
coalesce(excluded.duration, calls.duration) WHEN (calls.ended_by IS NULL) THEN calls.duration ELSE
coalesce(calls.duration, excluded.duration) END
"""

ADD_TURN = """
INSERT INTO turns (uid, call_id, model, turn_id, request_id, which, kind, said, digest, spoken, stream, memory,
prompt, generated, sent, map, heard, reason, error, prompt_tokens, completion_tokens, received_at, started,
first_useful, first_byte, cancelled, ended, cost) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""

ADD_EVENT = """
INSERT INTO events (turn_uid, position, kind, at, data) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""

SET_HEARD = """
UPDATE turns SET heard=? WHERE turns.uid = ?
"""

CALL = """
SELECT calls.id, calls.platform, calls.begun_at, calls.last_at, calls.named, calls.room, calls.caller, calls.callee,
calls.caller_mark, calls.callee_mark, calls.user_data, calls.state, calls.ended_at, calls.ended_by,
calls.connected_at, calls.hung_up_by, calls.duration FROM calls WHERE calls.id = ?
"""

TURNS = """
SELECT turns.uid, turns.call_id, turns.model, turns.turn_id, turns.request_id, turns.which, turns.kind, turns.said,
turns.digest, turns.spoken, turns.stream, turns.memory, turns.prompt, turns.generated, turns.sent, turns.map,
turns.heard, turns.reason, turns.error, turns.prompt_tokens, turns.completion_tokens, turns.received_at,
turns.started, turns.first_useful, turns.first_byte, turns.cancelled, turns.ended, turns.cost FROM turns WHERE
turns.call_id = ? ORDER BY turns.id
"""

EVENTS = """
SELECT events.turn_uid, events.position, events.kind, events.at, events.data FROM events JOIN turns ON turns.uid =
events.turn_uid WHERE turns.call_id = ? ORDER BY events.turn_uid, events.position
"""

CALLS = """
SELECT calls.id, calls.platform, calls.begun_at, calls.last_at, calls.named, calls.room, calls.caller, calls.callee,
calls.caller_mark, calls.callee_mark, calls.user_data, calls.state, calls.ended_at, calls.ended_by,
calls.connected_at, calls.hung_up_by, calls.duration, (SELECT count(*) AS count_1 FROM turns WHERE turns.call_id =
calls.id) AS turns, (SELECT count(*) AS count_1 FROM turns WHERE turns.call_id = calls.id AND turns.reason =
'failed') AS failed FROM calls WHERE calls.last_at > ? ORDER BY calls.last_at DESC, calls.id DESC LIMIT ? OFFSET 0
"""

RECENT = """
SELECT calls.id, calls.last_at FROM calls WHERE calls.last_at >= ? AND calls.named = 1
"""

OLD = """
SELECT calls.id FROM calls WHERE calls.last_at < ? ORDER BY calls.last_at LIMIT ? OFFSET 0
"""

OF_NUMBER = """
SELECT calls.id FROM calls WHERE calls.caller_mark = ? OR calls.callee_mark = ? LIMIT ? OFFSET 0
"""

VERSION = """
SELECT alembic_version.version_num FROM alembic_version
"""

ADD_VERSION = """
INSERT INTO alembic_version (version_num) VALUES (?)
"""

TELL_CALL = """
UPDATE calls SET caller=coalesce(calls.caller, ?), callee=coalesce(calls.callee, ?),
caller_mark=coalesce(calls.caller_mark, ?), callee_mark=coalesce(calls.callee_mark, ?),
user_data=coalesce(calls.user_data, ?), ended_at=CASE WHEN (calls.ended_by IS NULL) THEN ? ELSE calls.ended_at END,
ended_by=CASE WHEN (calls.ended_by IS NULL) THEN ? ELSE calls.ended_by END,
connected_at=coalesce(calls.connected_at, ?), hung_up_by=coalesce(?, calls.hung_up_by), duration=coalesce(?,
calls.duration) WHERE calls.id = ?
"""

PUT_SPOKEN = """
INSERT INTO spoken (call_id, "key", role, text, at, turn_id) SELECT ? AS anon_1, ? AS anon_2, ? AS anon_3, ? AS
anon_4, ? AS anon_5, ? AS anon_6 WHERE EXISTS (SELECT * FROM calls WHERE calls.id = ?) ON CONFLICT (call_id, "key")
DO UPDATE SET role = excluded.role, text = excluded.text, at = excluded.at, turn_id = excluded.turn_id
"""

SPOKEN = """
SELECT spoken.call_id, spoken."key", spoken.role, spoken.text, spoken.at, spoken.turn_id FROM spoken WHERE
spoken.call_id = ?
"""

DELETE_CALL = """
DELETE FROM calls WHERE calls.id = ?
"""

ADD_INTENT = """
INSERT INTO intents ("key", call_id, turn, tool, at, outcome, code, result, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?,
?, ?) ON CONFLICT DO NOTHING
"""

END_INTENT = """
UPDATE intents SET outcome=?, code=?, result=?, ended_at=? WHERE intents."key" = ? AND intents.outcome IS NULL
"""

INTENT = """
SELECT intents."key", intents.call_id, intents.turn, intents.tool, intents.at, intents.outcome, intents.code,
intents.result, intents.ended_at FROM intents WHERE intents."key" = ?
"""

DELETE_INTENTS = """
DELETE FROM intents WHERE intents.call_id = ?
"""

DELETE_OLD_INTENTS = """
DELETE FROM intents WHERE intents."key" IN (SELECT intents."key" FROM intents WHERE intents.at < ? LIMIT ? OFFSET 0)
"""

UNCLAIM = """
DELETE FROM intents WHERE intents."key" = ? AND intents.outcome IS NULL
"""
