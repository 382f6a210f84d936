"""Rows of the catalogs as messages."""

from isobath.connector.v1 import connector_pb2 as pb
from services.pg_connector.catalog import Relation, Row

_KINDS = {
    "r": pb.ENTRY_KIND_TABLE,
    "v": pb.ENTRY_KIND_VIEW,
    "m": pb.ENTRY_KIND_MATERIALIZED_VIEW,
    "p": pb.ENTRY_KIND_PARTITIONED_TABLE,
    "f": pb.ENTRY_KIND_FOREIGN_TABLE,
}
_RULES = {
    "p": pb.CONSTRAINT_KIND_PRIMARY_KEY,
    "u": pb.CONSTRAINT_KIND_UNIQUE,
    "f": pb.CONSTRAINT_KIND_FOREIGN_KEY,
    "c": pb.CONSTRAINT_KIND_CHECK,
    "x": pb.CONSTRAINT_KIND_EXCLUSION,
}


def of_schema(row: Row) -> pb.Entry:
    return pb.Entry(
        path=row["name"],
        name=row["name"],
        kind=pb.ENTRY_KIND_SCHEMA,
        comment=row["comment"] or "",
        readable=row["readable"],
    )


def of_relation(relation: Relation) -> pb.Entry:
    row = relation.row
    return pb.Entry(
        path=relation.path,
        name=relation.name,
        kind=_KINDS[relation.kind],
        size_bytes=row["size_bytes"],
        row_estimate=row["row_estimate"],
        comment=row["comment"] or "",
        readable=row["readable"],
    )


def of_column(row: Row, arrow_type: str) -> pb.Column:
    return pb.Column(
        name=row["name"],
        type=row["type"],
        arrow_type=arrow_type,
        nullable=row["nullable"],
        default_expression=row["fallback"] or "",
        comment=row["comment"] or "",
        readable=row["readable"],
    )


def of_constraint(row: Row) -> pb.Constraint:
    """That of another relation, which points here, is told from this one's side."""
    if row["own"]:
        return pb.Constraint(
            name=row["name"],
            kind=_RULES[row["kind"]],
            columns=row["columns"],
            references_path=row["far"] or "",
            references_columns=row["far_columns"],
            definition=row["text"],
        )
    return pb.Constraint(
        name=row["name"],
        kind=pb.CONSTRAINT_KIND_REFERENCED_BY,
        columns=row["far_columns"],
        references_path=row["near"],
        references_columns=row["columns"],
        definition=row["text"],
    )


def of_index(row: Row) -> pb.Index:
    return pb.Index(
        name=row["name"], columns=row["columns"], unique=row["is_unique"], definition=row["text"]
    )
