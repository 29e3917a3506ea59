"""Four doubles at a time, for numba: loads, multiply-adds, sums and comparisons of LLVM's <4 x double>.

Numba's own vectoriser gives up on short loops inside larger ones, so the kernel of DISH says what it wants.
LLVM lowers these to AVX, to pairs of SSE or NEON registers, or to scalars. Offsets count doubles of the flat
array and are not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.extending import models, register_model

#: Compiled code calls an intrinsic without its first argument, which its type hints do not know.
intrinsic: Any = extending.intrinsic

#: Doubles of a vector.
WIDTH = 4
_DOUBLE, _BITS = ir.DoubleType(), ir.IntType(64)
_VECTOR = ir.VectorType(_DOUBLE, WIDTH)
#: Multiplications and additions may be fused.
_FUSED = ("contract",)


class Vector(types.Type):
    """Type of a value of four doubles."""

    def __init__(self) -> None:
        super().__init__(name=f"float64x{WIDTH}")


vector = Vector()


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _place(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    """Pointer to the vector at an offset of an array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), _VECTOR.as_pointer())


def _spread(builder: Any, scalar: Any) -> Any:
    single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(_BITS, 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(single, ir.Constant(_VECTOR, ir.Undefined), zeros)


def _fold(builder: Any, value: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """Combine the four elements pairwise."""
    parts = [builder.extract_element(value, ir.Constant(_BITS, k)) for k in range(WIDTH)]
    return combine(combine(parts[0], parts[2]), combine(parts[1], parts[3]))


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


@intrinsic
def load(typing: Any, array: Any, offset: Any) -> Any:
    """Four doubles of an array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, signature.args[0], args[0], args[1]), align=8)

    return vector(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """Write four doubles into an array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _place(context, builder, signature.args[0], args[0], args[1]), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def splat(typing: Any, scalar: Any) -> Any:
    """One double, four times."""
    return vector(types.float64), lambda context, builder, signature, args: _spread(builder, args[0])


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(builder.fmul(args[0], args[1], flags=_FUSED), args[2], flags=_FUSED)

    return vector(vector, vector, vector), generate


@intrinsic
def fnma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """c - a b."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fsub(args[2], builder.fmul(args[0], args[1], flags=_FUSED), flags=_FUSED)

    return vector(vector, vector, vector), generate


@intrinsic
def multiply(typing: Any, a: Any, b: Any) -> Any:
    """a b."""
    return vector(vector, vector), lambda context, builder, signature, args: builder.fmul(*args, flags=_FUSED)


@intrinsic
def add(typing: Any, a: Any, b: Any) -> Any:
    """a + b."""
    return vector(vector, vector), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def subtract(typing: Any, a: Any, b: Any) -> Any:
    """a - b."""
    return vector(vector, vector), lambda context, builder, signature, args: builder.fsub(*args)


@intrinsic
def smaller(typing: Any, a: Any, b: Any) -> Any:
    """The smaller one of each pair."""
    return vector(vector, vector), lambda context, builder, signature, args: _smaller(builder, *args)


@intrinsic
def total(typing: Any, a: Any) -> Any:
    """Sum of the four."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fold(builder, args[0], builder.fadd)

    return types.float64(vector), generate


@intrinsic
def smallest(typing: Any, a: Any) -> Any:
    """Smallest of the four."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fold(builder, args[0], lambda p, q: _smaller(builder, p, q))

    return types.float64(vector), generate


@intrinsic
def reached(typing: Any, a: Any, b: Any) -> Any:
    """Bit k is set where a_k >= b_k."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        true = builder.fcmp_ordered(">=", args[0], args[1])
        return builder.zext(builder.bitcast(true, ir.IntType(WIDTH)), _BITS)

    return types.int64(vector, vector), generate


@intrinsic
def bits(typing: Any, mask: Any) -> Any:
    """Number of bits that are set."""
    return types.int64(types.int64), lambda context, builder, signature, args: builder.ctpop(args[0])


@intrinsic
def lowest_bit(typing: Any, mask: Any) -> Any:
    """Number of the lowest bit that is set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate
