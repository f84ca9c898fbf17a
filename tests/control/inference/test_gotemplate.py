"""The templates that KServe's users write render as Go renders them, and the rest of Go's language is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.control.inference.gotemplate import TemplateError, render

VALUES = {
    "Name": "iris",
    "Namespace": "default",
    "IngressDomain": "example.com",
    "Labels": {"team": "a", "n": 1},
    "Annotations": {"example.com/host": "h", "plain": "p"},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("no action", "no action"),
        ("{{.Name}}", "iris"),
        ("{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}", "iris-default.example.com"),
        ("{{\n.Name\n}}", "iris"),
        ("--model_name={{.Name}}", "--model_name=iris"),
        ("{{.Labels.team}}", "a"),
        ("{{.Labels.absent}}", "<no value>"),
        ('{{ index .Annotations "example.com/host" }}', "h"),
        ('{{ index .Annotations "absent" }}', ""),
        ("a {{- .Name -}} b", "airisb"),
        ("a {{.Name}} b", "a iris b"),
        ("a {{- .Name}} b", "airis b"),
        ("a {{.Name -}} b", "a irisb"),
        ("{{.Name}} {{- .Namespace}}", "irisdefault"),
        ("{{.Name -}} \n {{.Namespace}}", "irisdefault"),
        ("{{.Name -}} {{- .Namespace}}", "irisdefault"),
        ("}} {{.Name}} }}", "}} iris }}"),
        ("{single} {{.Name}}", "{single} iris"),
    ],
)
def test_rendering(template, text):
    assert render(template, VALUES) == text


@pytest.mark.parametrize(
    ("template", "word"),
    [
        ("{{ .Missing }}", ".Missing"),
        ("{{ if .Name }}x{{ end }}", "if .Name"),
        ("{{ .Name | upper }}", "upper"),
        ("{{ .Labels.with-dash }}", "with-dash"),
        ("{{ Name }}", "Name"),
        ("{{}}", "{{"),
        ("{{ .Name", "not closed"),
        ("{{.Name}} {{ .Namespace }", "not closed"),
        ("{{ .Labels }}", ".Labels"),
        ("{{ .Name.First }}", "First"),
        ("{{ .Labels.team.lead }}", "lead"),
        ('{{ index .Name "x" }}', ".Name"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(template, word):
    with pytest.raises(TemplateError) as caught:
        render(template, VALUES)
    assert word in str(caught.value)
    assert repr(template) in str(caught.value) or template in str(caught.value)


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_actions_stays_as_it_is(text):
    assert render(text, VALUES) == text


@given(st.text(alphabet=st.sampled_from('{}.-NameX \n"|')))
def test_nothing_but_a_template_error_comes_of_any_template(template):
    try:
        render(template, VALUES)
    except TemplateError:
        assert "{{" in template


@given(st.text(), st.text().filter(lambda text: "{" not in text), st.text().filter(lambda text: "{" not in text))
def test_values_are_inserted_as_they_are(value, before, after):
    assert render(f"{before}{{{{ .Name }}}}{after}", {"Name": value}) == f"{before}{value}{after}"
