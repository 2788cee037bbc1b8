import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.runtimes import RUNTIMES, Options, Target, parse_target
from search_spaces.errors import InvalidInput

ON_CPU = [name for name in RUNTIMES if name not in ("xla", "command", "table")]
commands = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",))).map(lambda text: f"{text} {{model}}")


@given(st.sampled_from(ON_CPU), st.integers(1, 4), st.integers(1, 64),
       st.one_of(st.just(()), st.sets(st.integers(0, 20), min_size=4).map(tuple)))
def test_the_text_of_a_target_names_it_again(runtime, threads, batch, cores):
    target = Target(runtime, Options(threads, batch, cores=cores))
    assert parse_target(target.text) == target


@given(commands, st.sampled_from(["", "us", "ms"]), st.sampled_from(["onnx", "litert"]), st.integers(1, 1000))
def test_a_command_may_hold_any_sign(command, unit, format, timeout_s):
    target = Target("command", Options(unit=unit, format=format, timeout_s=timeout_s), command)
    assert parse_target(target.text) == target


@pytest.mark.parametrize(("text", "canonical"), [
    ("onnxruntime", "onnxruntime"),
    ("onnxruntime:threads=1", "onnxruntime"),
    ("onnxruntime:batch=8,threads=2", "onnxruntime:threads=2,batch=8"),
    ("onnxruntime:precision=int8", "onnxruntime:precision=int8"),
    ("onnxruntime:cores=3+0-1,threads=2", "onnxruntime:threads=2,cores=0-1+3"),
    ("litert:cores=1", "litert:cores=1"),
    ("litert:precision=int8", "litert:precision=int8"),
    ("command[format=litert,precision=int8]:run {model}", "command[precision=int8,format=litert]:run {model}"),
    ("xla:batch=8", "xla:batch=8"),
    ("command:ssh pi:22 ./bench.sh a,b=c {model}", "command:ssh pi:22 ./bench.sh a,b=c {model}"),
    ("command[unit=us,format=litert]:run {model}", "command[format=litert,unit=us]:run {model}"),
    ("table:/phone.csv", "table:/phone.csv"),
    ("table[format=litert,batch=8]:/a:b=c,d.csv", "table[batch=8,format=litert]:/a:b=c,d.csv"),
    ("command[threads=4]:bench [x] -j {threads} {model}", "command[threads=4]:bench [x] -j {threads} {model}"),
])
def test_the_text_of_a_target_is_canonical(text, canonical):
    assert parse_target(text).text == canonical


@pytest.mark.parametrize(("text", "complaint"), [
    ("onnxrun", "unknown runtime 'onnxrun'; did you mean 'onnxruntime'"),
    ("onnxruntime:", "name=value"),
    ("onnxruntime:threads", "name=value"),
    ("onnxruntime:thread=2", "unknown option of a target 'thread'; did you mean 'threads'"),
    ("onnxruntime:threads=2,threads=2", "given once"),
    ("onnxruntime:threads=two", "`threads` takes whole numbers below 1e9, but got 'two'"),
    ("onnxruntime:threads=-1", "whole numbers below 1e9, but got '-1'"),
    ("onnxruntime:threads=1,", "name=value"),
    ("onnxruntime:batch=0", "at least 1, but got batch=0"),
    ("onnxruntime:cores=2-1", "cores and spans such as 0-1+3, but got '2-1'"),
    ("onnxruntime:cores=one", "whole numbers below 1e9, but got 'one'"),
    ("onnxruntime:cores=0-999999999", "`cores` takes numbers of cores below 4096, but got '0-999999999'"),
    (f"onnxruntime:threads={'9' * 5000}", "`threads` takes whole numbers below 1e9, but got '999"),
    ("onnxruntime:threads=2,cores=1", "`threads` must be at most the cores, 1, but got 2"),
    ("onnxruntime:precision=int4", "unknown precision 'int4'; did you mean 'int8'"),
    ("onnxruntime:unit=us", "unknown option of onnxruntime 'unit'; known: batch, cores, precision, threads"),
    ("onnxruntime[threads=2]", "options of onnxruntime follow a colon"),
    ("onnxruntime]", "unknown runtime"),
    ("xla:precision=int8", "`precision` of xla is float32, but got precision=int8"),
    ("xla:threads=2,cores=0-2", "xla has a thread on each core, but got threads=2 for 3 cores"),
    ("command", "says with {model} where its model file goes, but got ''"),
    ("command:ssh pi ./bench.sh", "says with {model} where its model file goes, but got 'ssh pi ./bench.sh'"),
    ("command[threads=2]:run {model}", "says with {threads} where the option goes, but got threads=2"),
    ("command[batch=2]:run {model}", "says with {batch} where the option goes, but got batch=2"),
    ("command[format=pt]:run {model}", "unknown format of a command's files 'pt'; known: litert, onnx"),
    ("command[cores=1]:run {model}", "unknown option of command 'cores'"),
    ("command[unit=hours]:run {model}", "unknown unit of time 'hours'"),
    ("table", "a table is given as table:FILE.csv, but got 'table'"),
    ("table[format=pt]:phone.csv", "unknown format of a table's files 'pt'; known: litert, onnx"),
    ("table[threads=2]:phone.csv", "unknown option of table 'threads'"),
    ("command[threads:run {model}", "written runtime:options, or"),
])
def test_a_wrong_target_is_refused_with_what_is_wrong(text, complaint):
    with pytest.raises(InvalidInput) as error:
        parse_target(text)
    assert complaint in str(error.value)


def test_a_table_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_target("table:phone.csv").text == f"table:{tmp_path}/phone.csv"
