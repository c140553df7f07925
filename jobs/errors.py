"""The one tree of errors.

JobsError
├── InvalidRequest          what a caller sent cannot be done; names field, value and remedy
├── Unauthorized            no key, or none that is known
├── NotFound                no such thing in this tenant
├── Conflict                the thing exists or has moved on
│   └── Stale               the caller knows an older version of it
├── Busy                    this process does as much of this as it may; worth another try
├── LeaseLost               another worker holds the lease now; discard the work
├── SourceRefused           a source that cannot be planned; ends its job
├── StorageError            storage did not answer; worth another try
│   ├── ObjectMissing       permanent, the item's own fault
│   ├── AccessDenied        permanent, the item's own fault
│   ├── ObjectTooLarge      permanent, the item's own fault
│   └── Superseded          a later job has written this output; the earlier one must not
├── ImageRejected           a picture that breaks the contract; permanent, costs one item
├── GateBroken              a picture that a gate of its recipe refuses; it is kept apart
├── MaskRejected            the recipe needs a mask that this picture does not have; permanent, costs one item
├── TextUnclear             a sentence that no picture can be made of; permanent, costs one item
├── CheckpointMismatch      weights are not the ones that the card names
└── OutOfMemory             the device could not hold the batch

`code` is stable and meant for programs; `retryable` says whether the same work may succeed later.
HTTP statuses live in `api.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ErrorCode(StrEnum):
    """Why an item did not succeed. Stable: scripts match on them."""

    EMPTY_OBJECT = "empty_object"  # zero bytes
    NOT_AN_IMAGE = "not_an_image"  # no picture format is recognised in the bytes
    UNSUPPORTED_FORMAT = "unsupported_format"  # a picture, in a format or variant that is not accepted
    TRUNCATED = "truncated"  # the file ends before its pixels do
    CORRUPT_IMAGE = "corrupt_image"  # the file contradicts itself
    TOO_MANY_PIXELS = "too_many_pixels"  # width × height above the limit
    SIDE_TOO_LONG = "side_too_long"  # one side above the limit
    RATIO_TOO_EXTREME = "ratio_too_extreme"  # longer side ÷ shorter side above the limit
    TOO_LARGE = "too_large"  # more bytes than the limit
    OBJECT_MISSING = "object_missing"
    ACCESS_DENIED = "access_denied"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    SUPERSEDED = "superseded"  # a later job wrote to the same key meanwhile
    MASK_MISSING = "mask_missing"  # the recipe needs a mask, and nothing gives one
    MASK_UNUSABLE = "mask_unusable"  # what should be the mask is no picture, or of another shape, or empty
    TEXT_UNCLEAR = "text_unclear"  # a sentence names nothing that the model knows, or what it does not know
    LABEL_UNFIT = "label_unfit"  # a label's words do not fit on it, or the font lacks a letter
    OUT_OF_MEMORY = "out_of_memory"
    MODEL_FAILED = "model_failed"
    WORKER_CRASHED = "worker_crashed"
    GATE_BROKEN = "gate_broken"  # a measure of the result is outside what the recipe accepts
    TRAINING_REFUSED = "training_refused"  # what was asked for cannot be trained
    DEADLINE = "deadline"  # it took longer than any picture may
    INTERNAL_ERROR = "internal_error"


class JobsError(Exception):
    """Something went wrong inside Restyle."""

    code: str = ErrorCode.INTERNAL_ERROR
    retryable: bool = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a request."""

    field: str  # dotted path in the request body
    value: object  # what was sent
    remedy: str  # what to send instead


class InvalidRequest(JobsError):
    """The request cannot be done as it stands."""

    code = "invalid_request"

    def __init__(self, *problems: Problem, code: str | None = None) -> None:
        self.problems = problems
        if code is not None:
            self.code = code
        super().__init__("; ".join(f"{p.field} is {p.value!r}: {p.remedy}" for p in problems))


class Unauthorized(JobsError):
    """The service needs a key: send `Authorization: Bearer KEY` with one that it knows."""

    code = "unauthorized"


class NotFound(JobsError):
    """There is no such thing."""

    code = "not_found"


class Conflict(JobsError):
    """The thing exists already, or its state no longer allows this."""

    code = "conflict"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        if code is not None:
            self.code = code
        super().__init__(message)


class Stale(Conflict):
    """The thing has changed since the caller looked at it."""

    code = "stale"


class Busy(JobsError):
    """The process does as much of this as it may."""

    retryable = True

    def __init__(self, message: str, *, code: str) -> None:
        self.code = code
        super().__init__(message)


class LeaseLost(JobsError):
    """The lease is no longer held: another worker may be doing the work."""

    code = "lease_lost"


class SourceRefused(JobsError):
    """The source cannot be planned."""

    def __init__(self, message: str, *, code: str) -> None:
        self.code = code
        super().__init__(message)


class StorageError(JobsError):
    """Storage did not answer as it should."""

    code = ErrorCode.STORAGE_UNAVAILABLE
    retryable = True


class ObjectMissing(StorageError):
    """There is no object at this key."""

    code = ErrorCode.OBJECT_MISSING
    retryable = False


class AccessDenied(StorageError):
    """Storage refuses access to this key."""

    code = ErrorCode.ACCESS_DENIED
    retryable = False


class ObjectTooLarge(StorageError):
    """The object has more bytes than the limit."""

    code = ErrorCode.TOO_LARGE
    retryable = False


class Superseded(StorageError):
    """A later job has written to this key: what an earlier one made must not replace it."""

    code = ErrorCode.SUPERSEDED
    retryable = False


class ImageRejected(JobsError):
    """The picture breaks the contract for pictures."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        self.code = code
        super().__init__(message)


class GateBroken(JobsError):
    """The picture is not what the recipe's gates ask for."""

    code = ErrorCode.GATE_BROKEN


class MaskRejected(JobsError):
    """There is no mask of this product."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        self.code = code
        super().__init__(message)


class TextUnclear(JobsError):
    """The sentence does not say what the picture is to show."""

    code = ErrorCode.TEXT_UNCLEAR


class CheckpointMismatch(JobsError):
    """The weights are not the ones that the model card names."""

    code = "checkpoint_mismatch"


class OutOfMemory(JobsError):
    """The device has too little memory for this batch."""

    code = ErrorCode.OUT_OF_MEMORY
