//! `modelway explain`: shows what would happen to a call now, target by target, without sending anything to a provider.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use prost::Message as _;
use tokio::time::timeout;
use tonic::{Request, Status};

use crate::grpc::translated;
use crate::grpc::v1::operations_service_client::OperationsServiceClient;
use crate::grpc::v1::{self, BreakerState};
use crate::json::form::{self, JsonTypes};

use super::administrator::ADMIN_KEY;
use super::bearer::Bearer;
use super::client::{For, NoService, ServiceArguments};
use super::console::{in_runtime, print, print_error, shown};
use super::failure;
use super::request::RequestArguments;
use super::summary::{amount, bare};

/// How long the answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The prompt if none is given.
const PROMPT: &str = "Hello";

/// The full name of the answer's message.
const RESPONSE: &str = "modelway.v1.ExplainPlanResponse";

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    request: RequestArguments,
    /// Write the plan as JSON.
    #[arg(long)]
    json: bool,
    /// The file that holds the key of an administrator who may OPERATE, where the service asks for one. Default: what
    /// MODELWAY_ADMIN_KEY holds.
    #[arg(long, value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
    #[command(flatten)]
    service: ServiceArguments,
}

impl ExplainArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        in_runtime(async move {
            match self.explain().await {
                Ok(Ok(text)) => {
                    print(text)?;
                    Ok(ExitCode::SUCCESS)
                }
                Ok(Err(status)) => {
                    print_error(failure::message(&status).trim_end().to_owned());
                    Ok(ExitCode::from(failure::exit_code(&status)))
                }
                Err(no_service) => Ok(no_service.report()),
            }
        })
    }

    async fn explain(self) -> Result<Result<String, Status>, NoService> {
        let address = self.service.address(For::Operations)?;
        let request = self
            .request
            .request(Some(PROMPT))
            .map_err(NoService::Usage)?;
        let key = Bearer::read(self.admin_key_file.as_deref(), ADMIN_KEY);
        let key = key.map_err(NoService::Usage)?;
        let connection = self.service.connect(&address).await?;
        let origin = connection.origin();
        let mut client = OperationsServiceClient::with_origin(connection, origin);
        let mut question = Request::new(v1::ExplainPlanRequest {
            request: Some(request.into_inner()),
        });
        if let Some(key) = key {
            key.show(&mut question);
        }
        let answer = match timeout(ANSWER_LIMIT, client.explain_plan(question)).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Ok(Err(status)),
            Err(_) => {
                let why = format!("{address} does not answer: it took over {ANSWER_LIMIT:?}");
                return Err(NoService::Unreachable(why));
            }
        };
        match self.json {
            true => json(&answer).map(Ok).map_err(NoService::Usage),
            false => Ok(Ok(
                shown(plan(&answer, SystemTime::now()).trim_end()).into_owned()
            )),
        }
    }
}

fn json(plan: &v1::ExplainPlanResponse) -> Result<String, String> {
    let types = JsonTypes::read(translated::descriptors()).map_err(|error| error.to_string())?;
    let place = types.place(RESPONSE).unwrap_or(usize::MAX);
    let mut out = Vec::new();
    form::write(&types, place, &plan.encode_to_vec(), &mut out)
        .map_err(|_| "the plan has no JSON".to_owned())?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// A plan for people.
fn plan(plan: &v1::ExplainPlanResponse, now: SystemTime) -> String {
    let mut text = String::new();
    let mut turn = 0;
    for target in &plan.targets {
        let place = match target.eligible {
            true => {
                turn += 1;
                format!("{turn}.")
            }
            false => "-".to_owned(),
        };
        let _ = write!(text, "{place:>3} {}", target.model);
        if !target.eligible {
            let reason = bare(target.skip_reason().as_str_name(), "ERROR_REASON_");
            let _ = write!(text, "  skipped: {reason}");
            if !target.detail.is_empty() {
                let _ = write!(text, ", {}", target.detail);
            }
        }
        if target.breaker_state() != BreakerState::Closed {
            let state = bare(target.breaker_state().as_str_name(), "BREAKER_STATE_");
            let _ = write!(text, "  breaker {state}");
        }
        if let Some(at) = target
            .next_probe_time
            .and_then(|at| SystemTime::try_from(at).ok())
            && let Ok(wait) = at.duration_since(now)
        {
            let _ = write!(text, ", next probe in {:.0} s", wait.as_secs_f64());
        }
        text.push('\n');
    }
    let _ = writeln!(text, "at most {} attempts", plan.max_attempts);
    if let Some(time) = seconds(plan.timeout.as_ref()) {
        let _ = writeln!(text, "{time} without a deadline of its caller");
    }
    let _ = write!(text, "retry budget: {} attempts left", plan.retry_tokens);
    if let Some(retry) = &plan.retry {
        let (ratio, burst) = (retry.ratio, retry.burst);
        let _ = write!(text, " of {burst}, {ratio} more with each success");
    }
    text.push('\n');
    if let Some(first) = &plan.retry_first {
        let wait = seconds(first.longest_wait.as_ref()).unwrap_or_default();
        let _ = writeln!(
            text,
            "the first choice is asked {} more times before another target, after {wait} at most",
            first.times
        );
    }
    if let Some(hedge) = &plan.hedge {
        let delay = seconds(hedge.min_delay.as_ref()).unwrap_or_default();
        let cost = match &hedge.max_cost {
            Some(cost) => format!(
                ", for {} {} at most",
                amount(cost.amount_nanos),
                cost.currency_code
            ),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "a late first attempt gets a rival after {delay} at least{cost}"
        );
    }
    text
}

fn seconds(time: Option<&prost_types::Duration>) -> Option<String> {
    let time = time?;
    let seconds = time.seconds as f64 + f64::from(time.nanos) / 1e9;
    Some(format!("{seconds} s"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_plan_shows_the_order_the_skipped_and_the_limits() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let target = |model: &str| v1::PlannedTarget {
            model: model.to_owned(),
            provider: "p".to_owned(),
            eligible: true,
            breaker_state: BreakerState::Closed.into(),
            ..v1::PlannedTarget::default()
        };
        let answer = v1::ExplainPlanResponse {
            targets: vec![
                v1::PlannedTarget {
                    eligible: false,
                    skip_reason: v1::ErrorReason::BreakerOpen.into(),
                    detail: "its breaker is open".to_owned(),
                    breaker_state: BreakerState::Open.into(),
                    next_probe_time: Some(prost_types::Timestamp {
                        seconds: 1_012,
                        nanos: 0,
                    }),
                    ..target("p/one")
                },
                target("p/two"),
            ],
            max_attempts: 3,
            timeout: Some(prost_types::Duration {
                seconds: 120,
                nanos: 0,
            }),
            retry_tokens: 7,
            retry: Some(v1::RetryPolicy {
                ratio: 0.2,
                burst: 10,
            }),
            retry_first: None,
            hedge: None,
        };

        let shown = plan(&answer, now);

        let expected = "  - p/one  skipped: BREAKER_OPEN, its breaker is open  breaker OPEN, next probe in 12 s
  1. p/two
at most 3 attempts
120 s without a deadline of its caller
retry budget: 7 attempts left of 10, 0.2 more with each success
";
        assert_eq!(shown, expected.replace("\n  1.", "\n 1."));
    }
}
