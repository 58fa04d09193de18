CREATE TABLE certificate (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  name TEXT,
  -- 1: an authority's, without a key.
  is_authority INTEGER NOT NULL,
  -- PEM: the certificate itself, then those that lead from it to its authority.
  certificates TEXT NOT NULL,
  -- PEM, sealed by the vault.
  private_key TEXT,
  issuer TEXT NOT NULL,
  serial_number TEXT NOT NULL,
  signature TEXT NOT NULL,
  -- Milliseconds.
  expires_at INTEGER NOT NULL,
  uploaded_at INTEGER NOT NULL
);
CREATE INDEX certificate_account ON certificate (account, uploaded_at);
CREATE INDEX certificate_expiry ON certificate (expires_at);
