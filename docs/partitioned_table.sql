CREATE TABLE koreai_utterances (
    bot_id text NOT NULL, snapshot timestamptz NOT NULL, task_name text, sentence text NOT NULL, type text, language text,
    entities text NOT NULL, export_request_id text, requested_time timestamptz, loaded_at timestamptz NOT NULL
) PARTITION BY RANGE (snapshot);
CREATE INDEX ON koreai_utterances (bot_id, snapshot);
CREATE TABLE koreai_utterances_2026_12 PARTITION OF koreai_utterances FOR VALUES FROM ('2026-12-01Z') TO ('2027-01-01Z');
