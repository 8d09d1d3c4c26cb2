"""Signals, queries and interactions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from stateful_engine.storage.migrate import compress

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES: tuple[str, ...] = ("signal_history", "gpt_query_log", "user_interaction")


def upgrade() -> None:
    _signals()
    _queries()
    _interactions()
    compress(
        "signal_history.ai_reasoning",
        "signal_history.smc_analysis",
        "signal_history.technical_indicators",
        "signal_history.extra",
        "gpt_query_log.request_params",
        "gpt_query_log.user_query",
        "gpt_query_log.response_data",
        "gpt_query_log.error_message",
        "user_interaction.interaction_data",
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _signals() -> None:
    op.create_table(
        "signal_history",
        _id(),
        sa.Column("signal_id", sa.Text(), nullable=False),
        *_texts("query_id", "symbol", "symbol_raw", "timeframe"),
        sa.Column("action", sa.Text(), nullable=False),
        *_numbers("confidence", "entry_price", "take_profit", "stop_loss", "risk_reward_ratio"),
        *_texts("ai_reasoning"),
        sa.Column("smc_analysis", sa.JSON()),
        sa.Column("technical_indicators", sa.JSON()),
        *_texts("market_conditions", "source", "source_engine", "endpoint", "ai_model", "prompt_version"),
        *_texts("experiment", "variant"),
        sa.Column("is_executed", sa.Boolean(), server_default=sa.false(), nullable=False),
        _time("executed_at"),
        *_numbers("execution_price"),
        *_texts("execution_source"),
        sa.Column("outcome", sa.Text(), server_default="PENDING", nullable=False),
        *_numbers("pnl_percentage", "exit_price"),
        *_texts("exit_reason"),
        *_numbers("initial_stop_loss", "r_multiple", "mfe_pct", "mae_pct", "mfe_r", "mae_r"),
        _time("closed_at"),
        *_texts("resolved_by", "resolver_version", "candle_source", "ambiguity_policy"),
        sa.Column("ambiguous", sa.Boolean()),
        sa.Column("data_gap", sa.Boolean()),
        *_texts("episode_key", "client_ref", "user_agent", "ip_address"),
        sa.Column("extra", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
        _time("created_at", nullable=False),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_signal_history"),
        sa.UniqueConstraint("signal_id", name="uq_signal_history_signal_id"),
    )
    _index("signal_history", "created_at_id")
    for column in ("symbol", "timeframe", "action", "outcome", "source_engine"):
        _index("signal_history", f"{column}_created_at_id", column)
    _index("signal_history", "symbol_raw", "symbol_raw", where="symbol_raw != symbol")


def _queries() -> None:
    op.create_table(
        "gpt_query_log",
        _id(),
        sa.Column("query_id", sa.Text(), nullable=False),
        *_texts("endpoint", "method"),
        sa.Column("request_params", sa.JSON()),
        *_texts("user_query"),
        *_wholes("response_status"),
        sa.Column("response_data", sa.JSON()),
        *_numbers("processing_time_ms"),
        *_texts("ai_model_used"),
        *_wholes("tokens_used", "prompt_tokens", "completion_tokens"),
        *_numbers("cost_usd", "ai_reasoning_time_ms", "confidence_score"),
        *_texts("user_agent", "ip_address", "session_id", "referer", "conversation_ref", "user_ref", "gpt_id"),
        *_texts("request_id"),
        sa.Column("is_successful", sa.Boolean(), server_default=sa.true(), nullable=False),
        *_texts("error_message"),
        sa.Column("feedback_rating", sa.Integer()),
        _time("created_at", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gpt_query_log"),
        sa.UniqueConstraint("query_id", name="uq_gpt_query_log_query_id"),
    )
    _index("gpt_query_log", "created_at_id")
    _index("gpt_query_log", "endpoint_created_at_id", "endpoint")
    _index("gpt_query_log", "failed", where=sa.column("is_successful").is_(False))
    _index("gpt_query_log", "session", "session_id", where="session_id IS NOT NULL")


def _interactions() -> None:
    op.create_table(
        "user_interaction",
        _id(),
        sa.Column("interaction_id", sa.Text(), nullable=False),
        *_texts("signal_id"),
        sa.Column("interaction_type", sa.Text(), nullable=False),
        sa.Column("interaction_source", sa.Text(), nullable=False),
        sa.Column("interaction_data", sa.JSON()),
        *_texts("user_id", "user_agent", "ip_address"),
        _time("created_at", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_interaction"),
        sa.UniqueConstraint("interaction_id", name="uq_user_interaction_interaction_id"),
    )
    _index("user_interaction", "created_at_id")
    _index("user_interaction", "interaction_type_created_at_id", "interaction_type")
    _index("user_interaction", "interaction_source_created_at_id", "interaction_source")
    _index("user_interaction", "signal", "signal_id", where="signal_id IS NOT NULL")
    _index("user_interaction", "user", "user_id", where="user_id IS NOT NULL")


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text()) for name in names]


def _numbers(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double()) for name in names]


def _wholes(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger()) for name in names]


def _time(name: str, *, nullable: bool = True) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _index(table: str, suffix: str, *columns: str, where: str | sa.ColumnElement[bool] | None = None) -> None:
    """An index that answers "newest first" for one value of `columns`, or for all rows."""
    condition = sa.text(where) if isinstance(where, str) else where
    op.create_index(
        f"ix_{table}_{suffix}",
        table,
        [*columns, "created_at", "id"],
        postgresql_where=condition,
        sqlite_where=condition,
    )
