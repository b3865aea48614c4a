"""A program, then its inverse at other parameters: what it leaves of |0...0> says how alike both states are."""

from qmljax._circuit.expressions import Affine, Expression
from qmljax._circuit.program import Program, inverse


def undone(program: Program) -> Program:
    """The program at its first P parameters, then its inverse at P others; it loads no amplitudes."""
    count, width = program.num_parameters, len(program.expressions)
    back = [
        inverse(
            op
            if op.angle.expression < 0
            else op._replace(angle=op.angle._replace(expression=op.angle.expression + width))
        )
        for op in reversed(program.ops)
    ]
    return Program(
        program.num_qubits,
        program.parameters + tuple(f"{name}'" for name in program.parameters),
        program.expressions + tuple(_shifted(e, count) for e in program.expressions),
        (*program.ops, *back),
    )


def _shifted(expression: Expression, by: int) -> Expression:
    """The same function of the parameters that come so many places later."""
    if isinstance(expression, Affine):
        return Affine(expression.const, tuple((index + by, c) for index, c in expression.terms))
    return type(expression)(
        tuple(
            (operation, *(_shifted(x, by) if isinstance(x, Affine) else x for x in operands))
            for operation, *operands in expression.instructions
        )
    )
