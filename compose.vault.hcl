# one node with integrated storage; sealed after each start
storage "raft" {
  path    = "/vault/file"
  node_id = "vault"
}

listener "tcp" {
  address         = "0.0.0.0:8200"
  tls_cert_file   = "/run/isobath/tls.crt"
  tls_key_file    = "/run/isobath/tls.key"
  tls_min_version = "tls12"
}

api_addr      = "https://vault:8200"
cluster_addr  = "https://vault:8201"
disable_mlock = true
ui            = false
