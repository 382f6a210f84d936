# Short-lived users of PostgreSQL, where sources name a role of Vault's database engine: one line for each role.
path "database/creds/analyst" {
  capabilities = ["read"]
}
path "sys/leases/renew" {
  capabilities = ["update"]
}
path "sys/leases/revoke" {
  capabilities = ["update"]
}
