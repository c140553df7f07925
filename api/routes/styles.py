"""Styles: upload the reference pictures of a look, and find it again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, Path, Query, Response, UploadFile

from api.answers import LOCATION, problems
from api.parts import AppParts, CurrentTenant
from api.schemas.styles import Style, StyleMix, StylePage
from jobs import styles
from jobs.queries import style_page

router = APIRouter(prefix="/v1/styles", tags=["styles"])

NAME = {"pattern": styles.NAME_PATTERN, "max_length": styles.MAX_NAME_LENGTH}


@router.post(
    "",
    status_code=201,
    responses={
        200: {"model": Style, "description": "There is a style of this name and these pictures.", "headers": LOCATION},
        201: {"headers": LOCATION},
        **problems(400, 409, 413, 422, 503),
    },
)
def create_style(
    parts: AppParts,
    tenant: CurrentTenant,
    response: Response,
    name: Annotated[str, Form(**NAME, description="Lower-case words, joined by hyphens.")],
    references: Annotated[list[UploadFile], File(description="1 to 16 pictures of at most 20 MB each.")],
) -> Style:
    """Upload a style: pictures that show the look that a job should give to a catalogue."""
    uploads = [styles.Upload(file_name=each.filename or "", file=each.file) for each in references]
    looked_at = styles.look_at(uploads)
    style, created = styles.create(
        parts.database, parts.storages, tenant, name, looked_at, storage_url=parts.settings.storage_url
    )
    response.headers["Location"] = f"{router.prefix}/{style.name}"
    response.status_code = 201 if created else 200
    return Style.of(style)


@router.post(
    "/mixes",
    status_code=201,
    responses={
        200: {"model": Style, "description": "There is a style of this name and this mix.", "headers": LOCATION},
        201: {"headers": LOCATION},
        **problems(400, 404, 409, 422, 503),
    },
)
def mix_styles(parts: AppParts, tenant: CurrentTenant, response: Response, body: StyleMix) -> Style:
    """Mix styles into a new one: each picture counts as much as its style does, divided among that style's pictures."""
    shares: dict[str, float] = {}
    for each in body.styles:
        shares[each.style] = shares.get(each.style, 0.0) + each.weight
    with parts.database.transaction() as session:
        style, created = styles.mix(session, tenant, body.name, shares)
        mixed = Style.of(style)
    response.headers["Location"] = f"{router.prefix}/{mixed.name}"
    response.status_code = 201 if created else 200
    return mixed


@router.get("", responses=problems(422, 503))
def list_styles(
    parts: AppParts,
    tenant: CurrentTenant,
    cursor: Annotated[str | None, Query(**NAME, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
) -> StylePage:
    """List styles by name."""
    with parts.database.reading() as session:
        page = style_page(session, tenant, after=cursor, limit=limit)
    data = [Style.of(style) for style in page.rows]
    return StylePage(data=data, next_cursor=data[-1].name if page.more else None)


@router.get("/{name}", responses=problems(404, 422, 503))
def get_style(parts: AppParts, tenant: CurrentTenant, name: Annotated[str, Path(**NAME)]) -> Style:
    """Look at a style."""
    with parts.database.reading() as session:
        return Style.of(styles.get(session, tenant, name))
