"""What differs between Snowflake's language and DuckDB's, each bridged by a shim, each tested (test_stand_in.py).

- `variant_cast`      `v:name::TYPE` takes the text out of its quotation marks first.
- `flatten`           LATERAL FLATTEN(input => v) is json_each.
- `type_of_variant`   TYPEOF of a VARIANT says Snowflake's names of types.
- `sysdate`           SYSDATE() is the time that the test says it is.
- `copy_history`      the table function is a table that the test fills.
- `retention`         INFORMATION_SCHEMA.TABLES knows of each table how far Time Travel reaches: here 14 days.
- `octet_length`      OCTET_LENGTH of text is strlen.
- `staged_file`       a query of a file in the stage asks a table that the test fills.
"""

import functools
import re

import sqlglot
from sqlglot import exp


@functools.cache
def transpiled(sql: str) -> str:
    """Snowflake's text as DuckDB runs it."""
    tree = sqlglot.parse_one(staged_file(sql), read="snowflake")
    for shim in (
        flatten,
        type_of_variant,
        variant_cast,
        sysdate,
        copy_history,
        retention,
        octet_length,
        variant_column,
    ):
        tree = tree.transform(shim)
    return tree.sql("duckdb", unsupported_level=sqlglot.ErrorLevel.IGNORE)


def staged_file(sql: str) -> str:
    """A query of a file in the stage asks the table `staged_file` (line, place, name)."""
    from_stage = re.search(r"FROM '@bucket/[^']+' \(FILE_FORMAT => '\w+'\)", sql)
    if from_stage is None:
        return sql
    for column, name in (
        ("$1", "line"),
        ("METADATA$FILE_ROW_NUMBER", "place"),
        ("METADATA$FILENAME", "name"),
    ):
        sql = sql.replace(column, name)
    return sql.replace(from_stage[0], "FROM staged_file")


def flatten(node: exp.Expression) -> exp.Expression:
    """LATERAL FLATTEN(input => v) AS f: a row per member, with key and value."""
    if not (isinstance(node, exp.Lateral) and isinstance(node.this, exp.Explode)):
        return node
    given = node.this.this
    source = given.expression if isinstance(given, exp.Kwarg) else given
    inner = exp.select("key", "value").from_(exp.func("json_each", source.copy()))
    return exp.Lateral(this=inner.subquery(), alias=exp.TableAlias(this=node.args["alias"].this))


def type_of_variant(node: exp.Expression) -> exp.Expression:
    """TYPEOF of a VARIANT."""
    if not isinstance(node, exp.Typeof):
        return node
    return exp.func("snowflake_type", node.this.copy())


def variant_cast(node: exp.Expression) -> exp.Expression:
    """A VARIANT cast to text is without quotation marks."""
    inner = node.this if isinstance(node, exp.Cast) else None
    of_variant = isinstance(inner, exp.JSONExtract | exp.GetExtract) or (
        isinstance(inner, exp.Column) and inner.name.lower() == "value" and inner.table == "f"
    )
    if not of_variant:
        return node
    return exp.Cast(
        this=exp.func("json_extract_string", inner.copy(), exp.Literal.string("$")), to=node.args["to"]
    )


def sysdate(node: exp.Expression) -> exp.Expression:
    """SYSDATE(): now, in UTC."""
    is_now = isinstance(node, exp.CurrentTimestamp) and node.args.get("sysdate")
    return exp.func("getvariable", exp.Literal.string("now")) if is_now else node


def copy_history(node: exp.Expression) -> exp.Expression:
    """TABLE(INFORMATION_SCHEMA.COPY_HISTORY(…)): what Snowpipe says of each file."""
    if isinstance(node, exp.TableFromRows | exp.Table) and "COPY_HISTORY(" in node.sql("snowflake").upper():
        return exp.to_table("copy_history")
    return node


def retention(node: exp.Expression) -> exp.Expression:
    """INFORMATION_SCHEMA.TABLES: the tables, with how long Time Travel reaches."""
    if isinstance(node, exp.Table) and node.db.upper() == "INFORMATION_SCHEMA":
        return exp.to_table("retention")
    return node


def octet_length(node: exp.Expression) -> exp.Expression:
    """OCTET_LENGTH of text: its length in bytes."""
    if isinstance(node, exp.ByteLength):
        return exp.func("strlen", node.this.copy())
    return node


def variant_column(node: exp.Expression) -> exp.Expression:
    """A VARIANT is a JSON."""
    if isinstance(node, exp.DataType) and node.this is exp.DataType.Type.VARIANT:
        return exp.DataType.build("json")
    return node
