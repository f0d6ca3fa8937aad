/** The schema, as steps that are applied once and in order. A released step is never edited. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE federations (
    federation TEXT PRIMARY KEY,
    plan       TEXT NOT NULL,
    plan_hash  TEXT NOT NULL
  ) STRICT;

  CREATE TABLE invitations (
    secret_hash   TEXT PRIMARY KEY,
    federation    TEXT NOT NULL REFERENCES federations,
    site          TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    used_at_ms    INTEGER
  ) STRICT;

  CREATE TABLE sites (
    federation     TEXT NOT NULL REFERENCES federations,
    site           TEXT NOT NULL,
    signing_key    TEXT NOT NULL,
    sealing_key    TEXT NOT NULL,
    enrolled_at_ms INTEGER NOT NULL,
    PRIMARY KEY (federation, site)
  ) STRICT;

  CREATE TABLE checkpoints (
    federation    TEXT NOT NULL REFERENCES federations,
    round         INTEGER NOT NULL,
    sha256        TEXT NOT NULL,
    record        TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (federation, round)
  ) STRICT;
  CREATE INDEX checkpoints_by_hash ON checkpoints (sha256);

  CREATE TABLE rounds (
    federation   TEXT NOT NULL REFERENCES federations,
    round        INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    base         TEXT NOT NULL,
    cohort       TEXT NOT NULL,
    outcome      TEXT NOT NULL CHECK (outcome IN ('open', 'closed', 'aggregated', 'abandoned')),
    opened_at_ms INTEGER NOT NULL,
    closed_at_ms INTEGER,
    excluded     TEXT NOT NULL DEFAULT '[]',
    checkpoint   TEXT,
    PRIMARY KEY (federation, round, attempt)
  ) STRICT;

  CREATE TABLE contributions (
    federation     TEXT NOT NULL,
    round          INTEGER NOT NULL,
    attempt        INTEGER NOT NULL,
    site           TEXT NOT NULL,
    header         TEXT NOT NULL,
    sealed_bytes   INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    UNIQUE (federation, round, attempt, site),
    FOREIGN KEY (federation, round, attempt) REFERENCES rounds,
    FOREIGN KEY (federation, site) REFERENCES sites
  ) STRICT;

  CREATE TABLE uploads (
    upload      TEXT PRIMARY KEY,
    federation  TEXT NOT NULL REFERENCES federations,
    site        TEXT NOT NULL,
    object      TEXT NOT NULL,
    size_bytes  INTEGER NOT NULL,
    chunk_bytes INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE upload_chunks (
    upload TEXT NOT NULL REFERENCES uploads ON DELETE CASCADE,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (upload, seq)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE audit (
    seq  INTEGER PRIMARY KEY,
    line TEXT NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE fingerprints (
    federation     TEXT NOT NULL,
    site           TEXT NOT NULL,
    header         TEXT NOT NULL,
    sealed         TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL,
    PRIMARY KEY (federation, site),
    FOREIGN KEY (federation, site) REFERENCES sites
  ) STRICT;
  `,
  `
  CREATE TABLE maskings (
    federation TEXT NOT NULL,
    round      INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    roster     TEXT NOT NULL,
    step       TEXT NOT NULL,
    totals     TEXT,
    PRIMARY KEY (federation, round, attempt),
    FOREIGN KEY (federation, round, attempt) REFERENCES rounds
  ) STRICT;

  CREATE TABLE masking_messages (
    federation TEXT NOT NULL,
    round      INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    step       TEXT NOT NULL,
    site       TEXT NOT NULL,
    message    TEXT NOT NULL,
    UNIQUE (federation, round, attempt, step, site),
    FOREIGN KEY (federation, round, attempt) REFERENCES maskings
  ) STRICT;
  `,
  `
  CREATE TABLE cohorts (
    federation TEXT PRIMARY KEY REFERENCES federations,
    record     TEXT,
    given_up   TEXT
  ) STRICT;

  CREATE TABLE image_distances (
    federation     TEXT NOT NULL,
    site           TEXT NOT NULL,
    message        TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL,
    PRIMARY KEY (federation, site),
    FOREIGN KEY (federation, site) REFERENCES sites
  ) STRICT;

  -- From here on a masked federation's fingerprints are known as a sum alone.
  DELETE FROM fingerprints WHERE federation IN
    (SELECT federation FROM federations WHERE json_extract(plan, '$.body.aggregation.secure') = 'masked');
  `,
  `
  ALTER TABLE rounds ADD COLUMN server_state TEXT;
  ALTER TABLE rounds ADD COLUMN verdict      TEXT;
  ALTER TABLE rounds ADD COLUMN resumed      INTEGER NOT NULL DEFAULT 0;
  `,
  `
  ALTER TABLE sites ADD COLUMN removed_at_ms INTEGER;

  CREATE TABLE roster_changes (
    federation TEXT NOT NULL REFERENCES federations,
    version    INTEGER NOT NULL,
    change     TEXT NOT NULL,
    PRIMARY KEY (federation, version)
  ) STRICT;

  CREATE TABLE endorsements (
    federation TEXT NOT NULL,
    site       TEXT NOT NULL,
    endorser   TEXT NOT NULL,
    signed     TEXT NOT NULL,
    PRIMARY KEY (federation, site, endorser),
    FOREIGN KEY (federation, site) REFERENCES sites
  ) STRICT;
  `,
  // Who runs a federation, where several coordinators share a database; `epoch` grows with every change of hands.
  `
  CREATE TABLE leases (
    federation    TEXT PRIMARY KEY REFERENCES federations,
    epoch         INTEGER NOT NULL,
    holder        TEXT NOT NULL,
    url           TEXT NOT NULL,
    renewed_at_ms INTEGER NOT NULL
  ) STRICT;
  `,
  "ALTER TABLE rounds ADD COLUMN average TEXT",
  // Dealings are signed in another way: an attempt that was under way is abandoned, and the next one begins.
  "DELETE FROM masking_messages",
];
