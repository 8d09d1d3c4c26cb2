"""Conversations, recommendations, scanner results, bot actions and the journal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from stateful_engine.storage.migrate import compress

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES: tuple[str, ...] = (
    "chatgpt_conversations",
    "chatgpt_messages",
    "ai_recommendations",
    "signal_scanner_results",
    "user_actions",
    "trade_events",
)
"""The tables that this revision makes; one that is there already is taken for the host's and refused."""


def upgrade() -> None:
    _conversations()
    _messages()
    _recommendations()
    _scanner()
    _actions()
    _journal()
    compress(
        "chatgpt_messages.content",
        "ai_recommendations.reasoning",
        "signal_scanner_results.reason",
        "user_actions.action_data",
        "trade_events.notes",
        "trade_events.extra",
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _conversations() -> None:
    table = "chatgpt_conversations"
    op.create_table(
        table,
        _id(),
        sa.Column("user_id", sa.Text(), nullable=False),
        *_texts("chat_id"),
        _time("started_at", nullable=False),
        _time("ended_at"),
        sa.Column("message_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("openai_cost", sa.Numeric(18, 9)),
        *_texts("model", "channel"),
        _time("last_message_at"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )
    _index(f"ix_{table}_user_id_started_at_id", table, "user_id", "started_at", "id")
    _index(f"ix_{table}_started_at_id", table, "started_at", "id")
    _index(f"ix_{table}_open", table, "user_id", "chat_id", "id", where="ended_at IS NULL")


def _messages() -> None:
    table = "chatgpt_messages"
    op.create_table(
        table,
        _id(),
        sa.Column("conversation_id", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        *_texts("content"),
        _time("timestamp", nullable=False),
        *_wholes("tokens_used", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"),
        sa.Column("cost_usd", sa.Numeric(18, 9)),
        sa.Column("model", sa.Text(), server_default="gpt-4o-mini"),
        *_numbers("latency_ms"),
        *_texts("experiment", "variant"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chatgpt_conversations.id"],
            name=f"fk_{table}_conversation_id",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "role IN ('user', 'assistant', 'system', 'tool', 'developer')", name=op.f(f"ck_{table}_role")
        ),
    )
    _index(f"ix_{table}_conversation_id_id", table, "conversation_id", "id")
    _index(f"ix_{table}_timestamp_id", table, "timestamp", "id")


def _recommendations() -> None:
    table = "ai_recommendations"
    op.create_table(
        table,
        _id(),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.BigInteger()),
        *_texts("signal_id"),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        *_texts("reasoning"),
        *_numbers("confidence", "entry_price", "stop_loss", "take_profit", "risk_reward"),
        *_texts("timeframe", "market_regime"),
        _time("created_at", nullable=False),
        sa.Column("executed", sa.Boolean(), server_default=sa.false(), nullable=False),
        *_texts("execution_ticket"),
        _time("execution_time"),
        *_numbers("result_pnl", "result_r"),
        sa.Column("model", sa.Text(), server_default="gpt-4o-mini"),
        *_numbers("generation_time"),
        *_texts("experiment", "variant"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chatgpt_conversations.id"],
            name=f"fk_{table}_conversation_id",
            ondelete="SET NULL",
        ),
        sa.CheckConstraint("direction IN ('BUY', 'SELL', 'HOLD')", name=op.f(f"ck_{table}_direction")),
    )
    _index(f"ix_{table}_created_at_id", table, "created_at", "id")
    _index(f"ix_{table}_user_id_created_at_id", table, "user_id", "created_at", "id")
    _index(f"ix_{table}_symbol_created_at_id", table, "symbol", "created_at", "id")
    _index(f"ix_{table}_conversation_id", table, "conversation_id")
    _index(f"ix_{table}_signal_id", table, "signal_id")


def _scanner() -> None:
    table = "signal_scanner_results"
    op.create_table(
        table,
        _id(),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        *_numbers("confidence", "rsi", "adx", "atr"),
        *_texts("market_regime", "reason"),
        _time("bar_time"),
        _time("detected_at", nullable=False),
        sa.Column("notified", sa.Boolean(), server_default=sa.false(), nullable=False),
        _time("notified_at"),
        *_texts("signal_id"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.CheckConstraint("direction IN ('BUY', 'SELL', 'HOLD')", name=op.f(f"ck_{table}_direction")),
    )
    bar = ("symbol", "timeframe", "direction", "bar_time")
    _index(f"uq_{table}_bar", table, *bar, where="bar_time IS NOT NULL", unique=True)
    _index(f"ix_{table}_detected_at_id", table, "detected_at", "id")
    _index(f"ix_{table}_symbol_detected_at_id", table, "symbol", "detected_at", "id")


def _actions() -> None:
    table = "user_actions"
    op.create_table(
        table,
        _id(),
        sa.Column("user_id", sa.Text(), nullable=False),
        *_texts("chat_id"),
        sa.Column("action_type", sa.Text(), nullable=False),
        sa.Column("action_data", sa.JSON()),
        _time("timestamp", nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )
    _index(f"ix_{table}_timestamp_id", table, "timestamp", "id")
    _index(f"ix_{table}_user_id_timestamp_id", table, "user_id", "timestamp", "id")
    _index(f"ix_{table}_action_type_timestamp_id", table, "action_type", "timestamp", "id")


def _journal() -> None:
    table = "trade_events"
    op.create_table(
        table,
        _id(),
        sa.Column("event", sa.Text(), nullable=False),
        *_texts("ticket", "signal_id", "symbol", "side"),
        *_numbers("price", "sl", "tp", "old_sl", "volume", "pnl", "r_multiple"),
        *_texts("method", "momentum"),
        *_numbers("distance_atr"),
        *_texts("oco_group", "notes"),
        sa.Column("extra", sa.JSON()),
        _time("timestamp", nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )
    _index(f"ix_{table}_timestamp_id", table, "timestamp", "id")
    _index(f"ix_{table}_event_timestamp_id", table, "event", "timestamp", "id")
    _index(f"ix_{table}_ticket", table, "ticket", "id", where="ticket IS NOT NULL")
    _index(f"ix_{table}_signal", table, "signal_id", "id", where="signal_id IS NOT NULL")


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


def _index(name: str, table: str, *columns: str, where: str | None = None, unique: bool = False) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, [*columns], unique=unique, postgresql_where=condition, sqlite_where=condition)
