//! What is an operator told of a configuration that is valid but worth a second look?

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use modelway::config::check::check;
use modelway::config::file::File;
use modelway::config::{Overrides, Surroundings, warnings};

use crate::support::scratch;

/// What the file under test needs besides what it is about.
const REST: &str = "
    [providers.p]\nwire_format = 'openai_chat'\nbase_url = 'https://api.example.com/v1'\napi_key = 'env:KEY'
    [models.'p/m']\n[scenarios.s]\ntargets = ['p/m']\nmax_timeout = '1m'\ntimeout = '1m'
    [scenarios.t]\ntargets = ['p/m']\nmax_timeout = '1m'\ntimeout = '1m'\n";

/// The warnings about this text and what it needs besides.
fn warned(text: &str) -> Vec<String> {
    let text = format!("{text}\n{REST}");
    let surroundings = Surroundings::without_secrets(Some("http://127.0.0.1:41234"));
    match File::parse(&text).resolve(&surroundings) {
        Ok(config) => warnings(&config, SystemTime::now()),
        Err(mistakes) => panic!("{text}\n{mistakes}"),
    }
}

#[test]
fn a_configuration_that_shows_nothing_to_others_has_no_warning() {
    let none: [&str; 0] = [];
    assert_eq!(warned(""), none);
    let local = "
        [server]\nlisten = '[::1]:1'\nadmin = true\npredrain = '0s'\n[admin]\nlisten = 'unix:/run/x'\n[probes]\nlisten = '127.0.0.1:2'
        [cors]\norigins = ['https://app.example.com']\n[telemetry]\nendpoint = 'http://localhost:4317'
        [providers.local]\nwire_format = 'openai_chat'\nbase_url = 'http://127.0.0.1:11434/v1'\nauth = 'none'\n[models.'local/m']";
    assert_eq!(warned(local), none);
}

#[test]
fn each_exposure_is_named_with_its_key_and_by_one_line() {
    const AUTH: &str = "[auth]\nanonymous = 'local'\nanonymous_beyond_loopback = true\n";
    const TLS: &str = "[server.tls]\ncert = '/x/c'\nkey = '/x/k'\n";
    let table: &[(&str, &[&str])] = &[
        (
            &format!("{AUTH}[server]\nlisten = '0.0.0.0:1'\nplaintext = 'behind-proxy'\nreflection = false\npredrain = '9s'"),
            &[
                "plaintext on 0.0.0.0:1 (`server.plaintext`)",
                "anyone who can reach 0.0.0.0:1 can call as `local` without a credential",
            ],
        ),
        (
            &format!("{AUTH}[server]\nlisten = '0.0.0.0:1'\nadmin = true\npredrain = '9s'\n{TLS}"),
            &[
                "anyone who can reach 0.0.0.0:1 can call as `local` without a credential",
                "shows the whole contract (`server.reflection`)",
            ],
        ),
        (
            &format!("{AUTH}[server]\nlisten = '0.0.0.0:1'\npredrain = '1s'\nreflection = false\n{TLS}client_ca = '/x/a'"),
            &["`server.predrain` is 1s"],
        ),
        (
            "[ledger]\npath = 'data'\n[admin]\nlisten = '0.0.0.0:3'\nplaintext = 'behind-proxy'",
            &["plaintext on 0.0.0.0:3 (`admin.plaintext`): keys of administrators can be read on the way"],
        ),
        (
            "[probes]\nlisten = '0.0.0.0:2'",
            &["can read /metrics in plaintext"],
        ),
        ("[cors]\norigins = ['*']", &["every web page may call (`cors.origins`)"]),
        (
            "[logging]\nprovider_errors = true",
            &["some hosts quote the prompt there"],
        ),
        (
            "[server]\ndrain_timeout = '59s'",
            &["`server.drain_timeout` is 59s, and a call may take 60s"],
        ),
        ("[catalog]\nallow_model = true", &["a call may take 600s"]),
        (
            "[providers.lan]\nwire_format = 'openai_chat'\nbase_url = 'http://10.0.0.7:8000/v1'\nallow_insecure = true
             auth = 'none'\n[models.'lan/m']\n[models.'lan/n']",
            &["travel to http://10.0.0.7:8000/v1 in plaintext (`providers.lan.allow_insecure`)"],
        ),
        (
            "[telemetry]\nendpoint = 'http://collector:4318'",
            &["spans and metrics travel to http://collector:4318/v1/traces in plaintext (`telemetry.endpoint`)"],
        ),
    ];
    for (text, expected) in table {
        let warned = warned(text);

        assert_eq!(warned.len(), expected.len(), "{text}: {warned:#?}");
        for (warning, expected) in warned.iter().zip(*expected) {
            assert!(warning.contains(expected), "{text}: {warning}");
        }
    }
}

#[test]
fn each_scope_that_an_account_above_does_not_allow_is_named_with_its_path_and_a_remedy() {
    let hash = "0".repeat(64);
    let text = format!(
        "[[accounts]]\nid = 'org'\nkind = 'organisation'
         [[accounts]]\nid = 'team'\nkind = 'team'\nparent = 'org'\nscopes = ['GENERATE', 'USAGE_READ']
         [[accounts]]\nid = 'api'\nkind = 'caller'\nparent = 'team'
         scopes = ['USAGE_READ', {{ action = 'GENERATE', scenarios = ['s'] }}]
         [[keys]]\nid = 'k'\naccount = 'api'\nsha256 = '{hash}'\nscopes = [{{ action = 'GENERATE', scenarios = ['t'] }}]"
    );

    let warned_of = warned(&text);

    let expected = [
        "USAGE_READ grants nothing to `team` (`accounts[1].scopes[1]`), because the organisation `org` does not allow it: \
         give `org` this scope beside those that it has, or leave it out here",
        "USAGE_READ grants nothing to `api` (`accounts[2].scopes[0]`), because the organisation `org` does not allow it: \
         give `org` this scope beside those that it has, or leave it out here",
        "GENERATE grants nothing to the key `k` (`keys[0].scopes[0]`), because the caller `api` allows none of its \
         scenarios and models: let `api` have them, too, or name others",
    ];
    assert_eq!(warned_of, expected);
    // Nothing is left to warn of once the account at the top allows it.
    let mended = text.replace(
        "kind = 'organisation'",
        "kind = 'organisation'\nscopes = ['GENERATE', 'USAGE_READ']",
    );
    let left = warned(&mended.replace("['t']", "['s']"));
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn secrets_that_every_user_of_the_machine_can_read_are_named_file_by_file() {
    let folder = scratch::folder("readable");
    let mut paths = Vec::new();
    for name in ["key", "header", "collector", "google", "private"] {
        let path = folder.join(name);
        fs::write(&path, "secret").unwrap();
        let mode = if name == "private" { 0o600 } else { 0o644 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        paths.push(path.display().to_string());
    }
    let [key, header, collector, google, private] = paths.as_slice() else {
        panic!("{paths:?}");
    };
    let text = format!(
        "[telemetry]\nendpoint = 'https://otlp.example'\nheaders = {{ authorization = 'file:{collector}' }}
         [providers.a]\nwire_format = 'openai_chat'\nbase_url = 'https://a'\napi_key = 'file:{key}'
         headers = {{ x-project = 'file:{header}', x-other = 'file:{private}' }}
         [providers.b]\nwire_format = 'gemini'\nbase_url = 'https://b'\ncredential = {{ kind = 'google_file', file = '{google}' }}
         [models.'a/m']\n[models.'b/m']"
    );

    let warned = warned(&text);

    let told = |path: &str| {
        warned
            .iter()
            .any(|warning| warning.contains(&format!("`{path}`")))
    };
    for path in [key, header, collector, google] {
        assert!(told(path), "{path}: {warned:#?}");
    }
    assert_eq!(warned.len(), 4, "{warned:#?}");
}

/// What `modelway check --no-secrets` prints of a file that is valid.
fn checked(file: &Path) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = check(file, false, &Overrides::default(), &mut out, &mut err).unwrap();
    let err = String::from_utf8(err).unwrap();
    assert_eq!(code, ExitCode::SUCCESS, "{err}");
    String::from_utf8(out).unwrap()
}

#[test]
fn the_check_says_of_each_secret_in_a_variable_that_another_value_needs_a_restart() {
    let file = scratch::folder("variables").join("modelway.toml");
    let text = format!(
        "[logging]\nprovider_errors = true\n[cors]\norigins = ['*']
         [telemetry]\nendpoint = 'https://otlp.example'\nheaders = {{ authorization = 'env:OTLP_KEY' }}
         [providers.e]\nwire_format = 'openai_chat'\nbase_url = 'https://e'
         credential = {{ kind = 'entra_secret', tenant_id = 't', client_id = 'c', client_secret = 'env:ENTRA' }}
         [providers.f]\nwire_format = 'openai_chat'\nbase_url = 'https://f'\napi_key = 'file:/run/key'
         [scenarios.d]\ndescription = 'env:NOT_A_SECRET'\ntargets = ['p/m']\n{REST}"
    );
    fs::write(&file, text).unwrap();

    let out = checked(&file);

    let notes: Vec<&str> = out
        .lines()
        .filter(|line| line.starts_with("note: "))
        .collect();
    let expected = [
        "ENTRA (`providers.e.credential.client_secret`)",
        "KEY (`providers.p.api_key`)",
        "OTLP_KEY (`telemetry.headers.authorization`)",
    ];
    assert_eq!(notes.len(), expected.len(), "{out}");
    for (note, expected) in notes.iter().zip(expected) {
        assert!(
            note.contains(&format!("another value of {expected} needs a restart")),
            "{note}"
        );
    }
    // A warning is told once, and warnings come before notes.
    assert_eq!(out.matches("every web page may call").count(), 1, "{out}");
    assert_eq!(
        out.matches("(`logging.provider_errors`)").count(),
        1,
        "{out}"
    );
    assert!(out.rfind("warning: ") < out.find("note: "), "{out}");
}
