"""The reader of compiled programs, on a text of XLA's with bytes counted by hand."""

import pytest

from qmljax.analysis import collectives
from qmljax.analysis._collectives import each_collective, size

TEXT = """HloModule jit_f, is_scheduled=true, num_partitions=8

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %add.2 = f32[] add(%a, %b), metadata={op_name="all-reduce(f32[9])"}
}

%body (param: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %get-tuple-element.1 = f32[8,4]{1,0} get-tuple-element(%param), index=1
  %ppermute.3 = f32[8,4]{1,0} collective-permute(%get-tuple-element.1), source_target_pairs={{0,1},{1,0}}
  ROOT %tuple.16 = (s32[], f32[8,4]{1,0}) tuple(%wrapped_add, %ppermute.3)
}

%condition (param.1: (s32[], f32[8,4])) -> pred[] {
  ROOT %wrapped_compare = pred[] fusion(%get-tuple-element.15, %constant.9.clone), kind=kLoop, calls=%compare
}

ENTRY %main.12_spmd (param.3: f32[8,4]) -> (f32[8,4], f32[64,4]) {
  %all_gather.3 = f32[64,4]{1,0} all-gather(%param.3), replica_groups={{0,1,2,3,4,5,6,7}}, dimensions={0}
  %start = (f64[8,4]{1,0}, f64[8,4]{1,0}) all-reduce-start(%p), to_apply=%add
  %done = f64[8,4]{1,0} all-reduce-done(%start)
  %both = (f32[1,4]{1,0}, /*index=5*/bf16[3]{0:T(8,128)}) all-to-all(%a, %b), replica_groups={{0,1}}
  %while.11 = (s32[], f32[8,4]{1,0}) while(%tuple.14), condition=%condition, body=%body, %BACKEND
  ROOT %tuple.11 = (f32[8,4]{1,0}, f32[64,4]{1,0}) tuple(%done, %all_gather.3)
}
"""
KNOWN = 'backend_config={"known_trip_count":{"n":"5"}}'


def test_bytes_by_kind():
    found = collectives(TEXT.replace("%BACKEND", KNOWN))
    assert found == {"all-gather": 1024, "all-reduce": 256, "all-to-all": 16 + 6, "collective-permute": 5 * 128}


def test_each_of_them():
    found = list(each_collective(TEXT.replace("%BACKEND", KNOWN)))
    assert found.count(("collective-permute", "f32[8,4]{1,0}")) == 5
    assert found[0] == ("all-gather", "f32[64,4]{1,0}")


def test_a_loop_of_unknown_length():
    with pytest.raises(ValueError, match="unknown length"):
        collectives(TEXT)


@pytest.mark.parametrize(
    ("shape", "expected"), [("f32[]", 4), ("(pred[3], c64[2]{0})", 19), ("u8[0,4]", 0), ("s4[3]", 3)]
)
def test_size(shape, expected):
    assert size(shape) == expected


def test_what_is_no_program():
    with pytest.raises(TypeError, match="`compiled` must be a compiled program.*but is"):
        collectives(3)
