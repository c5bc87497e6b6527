//! Is `simulate` of a model understood, and is every mistake in it named with its place and its remedy?

use modelway::config::Surroundings;
use modelway::config::file::File;

const REST: &str = "
[providers.sim]
simulated = true
wire_format = 'openai_chat'

[providers.real]
wire_format = 'openai_chat'
base_url = 'https://api.example.com/v1'
auth = 'none'

[scenarios.s]
targets = ['sim/m']
";

fn surroundings() -> Surroundings<'static> {
    Surroundings::without_secrets(Some("http://127.0.0.1:41234"))
}

/// The name under which the simulator is asked for a model with these keys.
fn name(keys: &str) -> String {
    let text = format!("[models.'sim/m']\n{keys}\n{REST}");
    match File::parse(&text).resolve(&surroundings()) {
        Ok(config) => config.catalog.targets["sim/m"].model.clone(),
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// What is said of a mistake, without its line.
fn mistakes(model: &str, keys: &str) -> Vec<String> {
    let text = format!("[models.'{model}']\n{keys}\n{REST}");
    let Err(mistakes) = File::parse(&text).resolve(&surroundings()) else {
        panic!("`{keys}` is accepted");
    };
    mistakes
        .iter()
        .map(|mistake| mistake.to_string().split_once(": ").unwrap().1.to_owned())
        .filter(|mistake| !mistake.starts_with("scenarios."))
        .collect()
}

#[test]
fn what_is_simulated_becomes_part_of_the_models_name() {
    let table = [
        (
            "simulate = { first = '2s', gap = '20ms', tokens = 50 }",
            "m+first=2s+gap=20ms+tokens=50",
        ),
        (
            "model = 'gpt'\nsimulate = [{ status = 503, ratio = 0.25 }]",
            "gpt+ratio=0.25+status=503",
        ),
        (
            "simulate = [{ status = 429, retry_after = '1s' }, { cut = 10 }, {}]",
            "m+retry-after=1s+status=429+then+cut=10+then+",
        ),
        (
            "simulate = [{ hang = true }, { repeat = true }]",
            "m+hang+then+repeat",
        ),
        (
            "simulate = [{ hang = true }, { repeat = false }]",
            "m+hang+then+",
        ),
        (
            "simulate = [{}, { content_filter = true }]",
            "m++then+content-filter",
        ),
        (
            "simulate = { call = ['look', 'find'] }",
            "m+call=look+call=find",
        ),
        ("simulate = { reset = true }", "m+reset"),
        ("simulate = { text = 'Grüße, Welt' }", "m+text=Grüße, Welt"),
        ("simulate = {}", "m"),
        ("simulate = []", "m"),
    ];
    for (keys, expected) in table {
        assert_eq!(name(keys), expected, "{keys}");
    }
}

#[test]
fn a_mistake_names_its_place_and_a_remedy() {
    let table = [
        (
            "simulate = [{ cut = 1 }, { gap = 20 }]",
            "models.\"sim/m\".simulate[1].gap: the simulator cannot behave like this: `gap` needs a time such as `20ms` or `2s`, not `20`; see docs/simulator.md",
        ),
        (
            "simulate = { retry-after = '1s' }",
            "models.\"sim/m\".simulate.retry-after: the simulator cannot behave like this: there is no such key; did you mean `retry_after`?",
        ),
        (
            "simulate = { stauts = 503 }",
            "models.\"sim/m\".simulate.stauts: the simulator cannot behave like this: there is no such key; did you mean `status`?",
        ),
        (
            "simulate = { status = 777 }",
            "models.\"sim/m\".simulate.status: the simulator cannot behave like this: `status` knows no status `777`; see docs/simulator.md",
        ),
        (
            "simulate = { cut = 1, hang = true }",
            "models.\"sim/m\".simulate: the simulator cannot behave like this: more than one fault in `cut=1+hang`; leave one; the next step may have another",
        ),
        (
            "simulate = [{ repeat = true }, {}]",
            "models.\"sim/m\".simulate[0].repeat: the simulator cannot behave like this: `repeat` is `true` in the last of several steps; move it there, or remove it",
        ),
        (
            "simulate = { hang = false }",
            "models.\"sim/m\".simulate.hang: the simulator cannot behave like this: this is no value of the key; write a number, a string or `true`, or remove it; see docs/simulator.md",
        ),
        (
            "simulate = { text = '1+1' }",
            "models.\"sim/m\".simulate.text: the simulator cannot behave like this: a `+` begins another setting; remove it",
        ),
        (
            "simulate = 'cut=1'",
            "models.\"sim/m\".simulate: a string stands here; write a list in brackets",
        ),
        (
            "simulate = ['cut=1']",
            "models.\"sim/m\".simulate[0]: a string stands here; write a table",
        ),
        (
            "model = 'gpt+hang'\nsimulate = { cut = 1 }",
            "models.\"sim/m\".simulate: the simulator cannot behave like this: the model's name says otherwise; write all of it here, and remove what follows the `+` in the name",
        ),
    ];
    for (keys, expected) in table {
        assert_eq!(mistakes("sim/m", keys), [expected], "{keys}");
    }
    assert_eq!(
        mistakes("real/m", "simulate = { cut = 1 }"),
        [
            "models.\"real/m\".simulate: the simulator cannot behave like this: its provider is not simulated; remove `simulate`, or set `simulated = true` for the provider"
        ]
    );
}
