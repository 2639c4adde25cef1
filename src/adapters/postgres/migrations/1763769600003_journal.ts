import type { MigrationBuilder } from 'node-pg-migrate'

/** The shared journal (docs/decisions/0006). Positions count from 1; times are epoch milliseconds of this server's clock. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    -- One row: whoever writes the journal locks it, so positions have no gaps and are committed in their order.
    -- It is written once a batch: free room in its page keeps the versions from spreading.
    CREATE TABLE journal_head (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      seq bigint NOT NULL DEFAULT 0,
      -- The last position there is a part for, and how many positions the next part gets.
      parts_end bigint NOT NULL DEFAULT 0,
      span bigint NOT NULL DEFAULT 250000 CHECK (span > 0)
    ) WITH (fillfactor = 10);
    INSERT INTO journal_head DEFAULT VALUES;

    -- Who was first under an event id. Outlives the record.
    CREATE TABLE journal_ids (event_id text COLLATE "C" PRIMARY KEY, seq bigint NOT NULL);
    CREATE UNIQUE INDEX journal_ids_seq ON journal_ids (seq);

    -- The records, as src/domain/record.ts writes them. Compressed and kept in the row: in a TOAST table each would be two rows and an index entry more.
    CREATE TABLE journal (seq bigint PRIMARY KEY, lines text NOT NULL) PARTITION BY RANGE (seq);
    ALTER TABLE journal ALTER COLUMN lines SET STORAGE MAIN;
    DO $$ BEGIN ALTER TABLE journal ALTER COLUMN lines SET COMPRESSION lz4; EXCEPTION WHEN feature_not_supported THEN NULL; END $$;

    -- A part's records are all older than the next one's begun_at. A retired part has only its ids left.
    CREATE TABLE journal_parts (first_seq bigint PRIMARY KEY, last_seq bigint NOT NULL, begun_at bigint NOT NULL, retired boolean NOT NULL DEFAULT false);

    CREATE TABLE journal_positions (
      reader text PRIMARY KEY,
      done bigint NOT NULL DEFAULT 0,
      intent_from bigint,
      intent_to bigint,
      -- Who loaded last may save; a leader that was replaced may not.
      epoch bigint NOT NULL DEFAULT 0
    );

    -- Prepared plans outlive the time when these tables were small, so every look-up is bound to its index. The price that puts on
    -- other plans would have each call compiled (40 ms).
    CREATE FUNCTION journal_find(ids text[]) RETURNS TABLE (event_id text, seq bigint, lines text)
    LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off AS $$ BEGIN
      RETURN QUERY SELECT i.event_id, i.seq, j.lines FROM unnest(ids) AS u(id)
      CROSS JOIN LATERAL (SELECT k.event_id, k.seq FROM journal_ids k WHERE k.event_id = u.id OFFSET 0) i
      LEFT JOIN LATERAL (SELECT r.lines FROM journal r WHERE r.seq = i.seq OFFSET 0) j ON true;
    END $$;

    CREATE FUNCTION journal_add_part() RETURNS void LANGUAGE plpgsql AS $$
    DECLARE head journal_head%ROWTYPE; part text;
    BEGIN
      UPDATE journal_head SET parts_end = parts_end + span RETURNING * INTO head;
      part := format('journal_%s', head.parts_end - head.span + 1);
      -- Attaching lets readers and writers of the other parts go on, which CREATE ... PARTITION OF does not.
      EXECUTE format('CREATE TABLE %I (LIKE journal INCLUDING ALL)', part);
      EXECUTE format('ALTER TABLE journal ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', part, head.parts_end - head.span + 1, head.parts_end + 1);
      INSERT INTO journal_parts VALUES (head.parts_end - head.span + 1, head.parts_end, extract(epoch FROM clock_timestamp()) * 1000);
    END $$;

    -- Records what is new of a batch, ids unlike each other. First row: the position before the batch; then what was known before.
    CREATE FUNCTION journal_record(ids text[], records text[]) RETURNS TABLE (event_id text, seq bigint, lines text)
    LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
    #variable_conflict use_column
    DECLARE head journal_head%ROWTYPE; known text[]; added bigint;
    BEGIN
      IF current_setting('synchronous_commit') = 'off' THEN PERFORM set_config('synchronous_commit', 'on', true); END IF;
      -- A process that stops in the middle of its transaction must not keep the head for long.
      PERFORM set_config('idle_in_transaction_session_timeout', '2s', true);
      -- Each statement below sees what was committed before the lock was had (READ COMMITTED; under another level the lock fails, and it is tried again).
      SELECT * INTO head FROM journal_head FOR UPDATE;
      known := ARRAY(SELECT k.event_id FROM journal_ids k WHERE k.event_id = ANY (ids));
      added := cardinality(ids) - cardinality(known);
      WHILE head.seq + added > head.parts_end LOOP
        PERFORM journal_add_part();
        head.parts_end := head.parts_end + head.span;
      END LOOP;
      IF added > 0 THEN
        WITH fresh AS MATERIALIZED (
          SELECT u.id, u.record, head.seq + row_number() OVER (ORDER BY u.n) AS seq
          FROM unnest(ids, records) WITH ORDINALITY AS u(id, record, n) WHERE u.id <> ALL (known)),
        named AS (INSERT INTO journal_ids SELECT id, fresh.seq FROM fresh)
        INSERT INTO journal SELECT fresh.seq, record FROM fresh;
        UPDATE journal_head SET seq = head.seq + added;
      END IF;
      RETURN QUERY SELECT NULL::text, head.seq, NULL::text;
      IF cardinality(known) > 0 THEN RETURN QUERY SELECT * FROM journal_find(known); END IF;
    END $$;
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('DROP FUNCTION journal_record, journal_add_part, journal_find; DROP TABLE journal_positions, journal_parts, journal, journal_ids, journal_head')
}
