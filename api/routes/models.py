"""Models: what may be named in a recipe, and what each can do."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from api.answers import problems
from api.parts import AppParts, tenant_of
from api.schemas.service import ModelList
from jobs.cards import Card
from jobs.errors import NotFound

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[Depends(tenant_of)])


@router.get("", responses=problems())
def list_models(parts: AppParts) -> ModelList:
    """List the models with their cards."""
    return ModelList(data=list(parts.shelf.cards.values()))


@router.get("/{name}", responses=problems(404, 422))
def get_model(parts: AppParts, name: str) -> Card:
    """Look at a model's card: its parameters, licence, training and limits."""
    if name not in parts.shelf.cards:
        raise NotFound(f"there is no model {name!r}")
    return parts.shelf.cards[name]
