"""Functions that a reading statement may not call, since a READ ONLY transaction lets them pass:
they change the cluster, reach beyond it, or run SQL that stands in a string.

Names are those of the manuals of PostgreSQL 9.6 to 18 and of the extensions that are named.
"""

import re

_CONFIGURATION = "set_config pg_reload_conf"
_SEQUENCES = "nextval setval"
_LARGE_OBJECTS = "loread lowrite"
_MESSAGES = "pg_notify"
_BACKENDS = "pg_terminate_backend pg_cancel_backend pg_log_backend_memory_contexts"
_CLUSTER = """
pg_promote pg_switch_wal pg_switch_xlog pg_create_restore_point pg_start_backup pg_stop_backup
pg_backup_start pg_backup_stop pg_export_snapshot pg_wal_replay_pause pg_wal_replay_resume
pg_xlog_replay_pause pg_xlog_replay_resume pg_log_standby_snapshot pg_sync_replication_slots
pg_create_physical_replication_slot pg_create_logical_replication_slot pg_drop_replication_slot
pg_copy_physical_replication_slot pg_copy_logical_replication_slot pg_replication_slot_advance
pg_rotate_logfile pg_rotate_logfile_old pg_current_xact_id txid_current
pg_import_system_collations pg_extension_config_dump pg_nextoid pg_stop_making_pinned_objects
"""
_MAINTENANCE = """
gin_clean_pending_list brin_summarize_new_values brin_summarize_range brin_desummarize_range
pg_stat_force_next_flush pg_stat_statements_reset pg_prewarm autoprewarm_start_worker
autoprewarm_dump_now pg_truncate_visibility_map heap_force_kill heap_force_freeze
"""
# Of the server's machine; pg_ls_… and pg_file_… go by their prefix.
_FILES = """
pg_read_file pg_read_binary_file pg_stat_file pg_logdir_ls pg_current_logfile
pg_hba_file_rules pg_ident_file_mappings pg_show_all_file_settings
"""
_SQL_IN_STRINGS = """
query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema
table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema
schema_to_xml_and_xmlschema database_to_xml database_to_xmlschema database_to_xml_and_xmlschema
ts_stat ts_rewrite xpath_table crosstab crosstab2 crosstab3 crosstab4 crosstabn connectby
"""
# pgsql-http, aws_s3, azure_storage, pg_cron, pg_background, Citus
_EXTENSIONS = """
http query_export_to_s3 table_import_from_s3 blob_put blob_get schedule schedule_in_database
unschedule pg_background_launch run_command_on_workers run_command_on_placements
run_command_on_shards run_command_on_all_nodes run_command_on_coordinator master_run_on_worker
"""

DENIED = frozenset(
    " ".join(
        (
            _CONFIGURATION,
            _SEQUENCES,
            _LARGE_OBJECTS,
            _MESSAGES,
            _BACKENDS,
            _CLUSTER,
            _MAINTENANCE,
            _FILES,
            _SQL_IN_STRINGS,
            _EXTENSIONS,
        )
    ).split()
)

_PREFIXES = """
lo_ dblink pg_advisory_ pg_try_advisory_ pg_stat_reset pg_ls_ pg_file_ pg_logical_
pg_replication_origin_ binary_upgrade_ pg_restore_ pg_clear_ pg_buffercache_evict
pg_enable_ pg_disable_ postgres_fdw_disconnect http_
"""
_DENIED_PREFIX = re.compile("|".join(re.escape(prefix) for prefix in _PREFIXES.split()))


# PostgreSQL reads `x.f` and `(x).f` as f(x) where x has no column f, whatever the type of x. There
# the names of columns in use, such as lo_orderdate and schedule, must pass.
_ATTRIBUTE_PASSES = re.compile(r"lo_|http|(un)?schedule")
_ATTRIBUTES = frozenset(
    [
        "lo_creat",
        "lo_create",
        "lo_unlink",
        "lo_import",
        "lo_export",
        "lo_open",
        "lo_close",
        "lo_tell",
        "lo_tell64",
        "lo_get",
        "lo_put",
        "lo_truncate",
        "lo_truncate64",
        "lo_lseek",
        "lo_lseek64",
        "lo_from_bytea",
        "http_get",
        "http_post",
        "http_put",
        "http_patch",
        "http_delete",
        "http_head",
        "http_set_curlopt",
    ]
)

# Of the system catalog, and what they hold besides names: hashes of passwords, and passwords of
# foreign servers and subscriptions.
_CREDENTIALS = frozenset(
    [
        "pg_authid",
        "pg_shadow",
        "pg_user_mapping",
        "pg_user_mappings",
        "pg_subscription",
        "pg_hba_file_rules",
        "pg_ident_file_mappings",
        "pg_file_settings",
    ]
)


def is_denied(name: str) -> bool:
    """By the last part of the name: the schema before it makes no difference."""
    return name in DENIED or _DENIED_PREFIX.match(name) is not None


def is_denied_attribute(name: str) -> bool:
    """Whether `x.name` may call a denied function."""
    if _ATTRIBUTE_PASSES.match(name):
        return name in _ATTRIBUTES
    return is_denied(name)


def holds_credentials(schema: str, relation: str) -> bool:
    return schema in ("", "pg_catalog") and relation in _CREDENTIALS
