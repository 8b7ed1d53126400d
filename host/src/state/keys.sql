CREATE TABLE IF NOT EXISTS life (number INTEGER NOT NULL) STRICT;
-- life: of the host that began it, until it is answered. status: of the answer, if that is kept.
CREATE TABLE IF NOT EXISTS keys (
  id BLOB NOT NULL UNIQUE,
  service TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  expires INTEGER NOT NULL,
  life INTEGER,
  bytes INTEGER NOT NULL,
  status INTEGER,
  headers BLOB,
  body BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS keys_by_expiry ON keys (expires);
CREATE INDEX IF NOT EXISTS kept_by_expiry ON keys (expires) WHERE status IS NOT NULL;
