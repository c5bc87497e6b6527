//! Plays a case: hosts on sockets, the service before them, and a caller.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{FILE_DESCRIPTOR_SET, GenerateRequest};
use modelway::serve::Service;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::Deserialize as _;
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use toml::{Table, Value as Toml};
use tonic::transport::Channel;

use crate::check::complaints;
use crate::form::{Case, Methods, Target};
use crate::host::{Host, Model, Models};
use crate::seen::Seen;

/// No call of a case takes nearly as long.
const LONGEST_CALL: Duration = Duration::from_secs(60);

const SCENARIO: &str = "field";

/// A target in the service's configuration.
pub(crate) struct Place {
    pub(crate) provider: String,
    pub(crate) model: String,
    /// Its name at the provider, and what plays it.
    name: String,
    host: Arc<Model>,
}

impl Place {
    /// Whether these are the provider and the model of this target, as callers are told.
    pub(crate) fn is(&self, provider: &str, model: &str) -> bool {
        self.provider == provider && (self.model == model || self.name == model)
    }
}

/// Plays a case as often as its calls need, each time from its beginning. Gives what is wrong, a line
/// each.
///
/// # Errors
/// The case cannot be played.
pub(crate) async fn play(case: &Value) -> Result<Vec<String>, String> {
    let read = || Case::deserialize(case).map_err(|error| format!("not of the form: {error}"));
    let is_both = read()?
        .calls
        .iter()
        .any(|call| call.method == Methods::Both);
    if !is_both {
        return play_once(read()?, Methods::Generate).await;
    }
    let mut wrong = Vec::new();
    for (method, name) in [
        (Methods::Generate, "Generate"),
        (Methods::StreamGenerate, "StreamGenerate"),
    ] {
        let complaints = play_once(read()?, method).await?;
        wrong.extend(complaints.into_iter().map(|line| format!("{name}: {line}")));
    }
    Ok(wrong)
}

/// Plays a case once; a call that is for both methods is made with `method`.
async fn play_once(case: Case, method: Methods) -> Result<Vec<String>, String> {
    let Case {
        targets,
        scenario,
        calls,
        ..
    } = case;
    let (config, places, hosts) = set_up(targets, &scenario).await?;
    let gateway = Gateway::start(&config).await?;
    let mut client = gateway.client();
    let mut wrong = Vec::new();
    let mut before: Option<(GenerateRequest, Seen)> = None;
    for (number, call) in calls.into_iter().enumerate() {
        let last = before.take();
        let mut request = request(call.request, last.as_ref().map(|(_, seen)| seen), &places)?;
        if let Some((earlier, seen)) = last {
            let own = std::mem::take(&mut request.messages);
            request.messages = earlier.messages;
            request.messages.push(seen.output);
            request.messages.extend(own);
        }
        let asked = request.clone();
        let method = match call.method {
            Methods::Both => method,
            one => one,
        };
        let outcome = async {
            match method {
                Methods::StreamGenerate => {
                    let outcome = client.stream_generate(request).await;
                    Seen::streamed(outcome.map(tonic::Response::into_inner)).await
                }
                Methods::Generate | Methods::Both => {
                    let outcome = client.generate(request).await;
                    Seen::whole(outcome.map(tonic::Response::into_inner))
                }
            }
        };
        let seen = timeout(LONGEST_CALL, outcome)
            .await
            .map_err(|_| format!("call {number} does not end"))?;
        let received: Vec<Vec<Value>> = places
            .iter()
            .map(|place| place.host.take_received())
            .collect::<Result<_, _>>()?;
        for line in complaints(&call.expect, &seen, &places, &received)? {
            wrong.push(format!("call {number}: {line}"));
        }
        before = call.append_output.then_some((asked, seen));
    }
    drop(hosts);
    Ok(wrong)
}

/// Starts a host for each provider and writes the configuration of the service.
async fn set_up(
    targets: Vec<Target>,
    scenario: &str,
) -> Result<(String, Vec<Place>, Vec<Host>), String> {
    let mut places: Vec<Place> = Vec::new();
    let mut models = Table::new();
    let mut providers: Vec<(String, Table, Models)> = Vec::new();
    for (number, target) in targets.into_iter().enumerate() {
        let provider = match target.same_provider_as {
            Some(first) => places
                .get(first)
                .ok_or("same_provider_as names a later target")?
                .provider
                .clone(),
            None => {
                let name = format!("p{number}");
                let mut lines = lines(&target.dialect_line())?;
                lines.insert("wire_format".into(), target.wire_format.clone().into());
                lines.insert("auth".into(), "none".into());
                providers.push((name.clone(), lines, Models::new()));
                name
            }
        };
        let model = match target.same_provider_as {
            Some(_) => format!("alpha-{number}"),
            None => "alpha".to_owned(),
        };
        let mut of_model = lines(&target.model)?;
        let name = match of_model.get("model").and_then(Toml::as_str) {
            Some(name) => name.to_owned(),
            None => model.clone(),
        };
        if !of_model.contains_key("max_output_tokens") {
            of_model.insert("max_output_tokens".into(), 8192.into());
        }
        if !of_model.contains_key("price") {
            of_model.insert("price".into(), Toml::Table(prices()));
        }
        models.insert(format!("{provider}/{model}"), Toml::Table(of_model));
        let host = Arc::new(Model::new(target.answers, target.refuse_if)?);
        if let Some((_, _, models)) = providers.iter_mut().find(|(name, ..)| *name == provider)
            && models.insert(name.clone(), Arc::clone(&host)).is_some()
        {
            return Err(format!("two targets of one provider are called `{name}`"));
        }
        places.push(Place {
            provider,
            model,
            name,
            host,
        });
    }
    let mut hosts = Vec::new();
    let mut config = Table::new();
    let mut of_providers = Table::new();
    for (name, mut lines, models) in providers {
        let host = Host::start(models)
            .await
            .map_err(|error| format!("no socket for a host: {error}"))?;
        let base_url = format!("http://{}/v1", host.address);
        lines.insert("base_url".into(), base_url.into());
        of_providers.insert(name, Toml::Table(lines));
        hosts.push(host);
    }
    let mut of_scenario = lines(scenario)?;
    let ids = places
        .iter()
        .map(|place| Toml::from(format!("{}/{}", place.provider, place.model)));
    of_scenario.insert("targets".into(), Toml::Array(ids.collect()));
    let server = lines("predrain = \"0s\"\nruntimes = 0")?;
    let scenarios = Table::from_iter([(SCENARIO.to_owned(), Toml::Table(of_scenario))]);
    config.insert("server".into(), Toml::Table(server));
    config.insert("providers".into(), Toml::Table(of_providers));
    config.insert("models".into(), Toml::Table(models));
    config.insert("scenarios".into(), Toml::Table(scenarios));
    Ok((config.to_string(), places, hosts))
}

impl Target {
    fn dialect_line(&self) -> String {
        match self.dialect.trim() {
            "" => String::new(),
            table if table.starts_with('{') => format!("dialect = {table}"),
            lines => format!("[dialect]\n{lines}"),
        }
    }
}

fn lines(text: &str) -> Result<Table, String> {
    text.parse()
        .map_err(|error| format!("not lines of configuration: {error}"))
}

/// USD for a million tokens.
fn prices() -> Table {
    Table::from_iter([
        ("input".to_owned(), Toml::Float(1.0)),
        ("output".to_owned(), Toml::Float(10.0)),
        ("cache_read_input".to_owned(), Toml::Float(0.1)),
        ("cache_write_input".to_owned(), Toml::Float(1.25)),
    ])
}

/// A request to the scenario, in which what stands for ids and providers is replaced.
fn request(
    written: Map<String, Value>,
    before: Option<&Seen>,
    places: &[Place],
) -> Result<GenerateRequest, String> {
    let mut json = Value::Object(written);
    fill_in(&mut json, before, places)?;
    json["scenario"] = SCENARIO.into();
    let unreadable = |error: &dyn std::fmt::Display| format!("the request: {error}");
    let message = DescriptorPool::decode(FILE_DESCRIPTOR_SET)
        .map_err(|error| unreadable(&error))?
        .get_message_by_name("modelway.v1.GenerateRequest")
        .ok_or("the contract has no GenerateRequest")?;
    let message = DynamicMessage::deserialize(message, json).map_err(|error| unreadable(&error))?;
    GenerateRequest::decode(message.encode_to_vec().as_slice()).map_err(|error| unreadable(&error))
}

/// Replaces `$call[N]` and `$target[N]` in every text.
fn fill_in(json: &mut Value, before: Option<&Seen>, places: &[Place]) -> Result<(), String> {
    match json {
        Value::String(text) => {
            for (number, call) in before.iter().flat_map(|seen| seen.tool_calls()).enumerate() {
                *text = text.replace(&format!("$call[{number}]"), &call.id);
            }
            for (number, place) in places.iter().enumerate() {
                *text = text.replace(&format!("$target[{number}]"), &place.provider);
            }
            match text.starts_with("$call[") || text.starts_with("$target[") {
                true => Err(format!("nothing stands for `{text}`")),
                false => Ok(()),
            }
        }
        Value::Array(list) => list
            .iter_mut()
            .try_for_each(|value| fill_in(value, before, places)),
        Value::Object(object) => object
            .values_mut()
            .try_for_each(|value| fill_in(value, before, places)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// A running service. Ends when it is dropped.
struct Gateway {
    channel: Channel,
    _stop: oneshot::Sender<()>,
    _service: JoinSet<()>,
}

impl Gateway {
    async fn start(config: &str) -> Result<Self, String> {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let service = Service::from_text(config, "the case", Some(anywhere))
            .await
            .map_err(|error| format!("the service does not start: {error}"))?;
        let channel = Channel::from_shared(format!("http://{}", service.address()))
            .map_err(|error| error.to_string())?
            .connect_lazy();
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            let stopped = async { stopped.await.unwrap_or_default() };
            // How the service ends is no part of a case.
            let _ = service.run(stopped).await;
        });
        Ok(Self {
            channel,
            _stop: stop,
            _service: tasks,
        })
    }

    fn client(&self) -> GenerationServiceClient<Channel> {
        GenerationServiceClient::new(self.channel.clone())
    }
}
