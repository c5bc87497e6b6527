//! `modelway health`: asks a running service whether it takes calls, or one of its names whether it serves.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::address::ServiceAddress;
use super::client::{For, NoService, ServiceArguments};
use super::console::{BROKEN, SILENT, in_runtime, parse_time, print_error, shown};

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// How often a service is asked that is waited for.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct HealthArguments {
    #[command(flatten)]
    service: ServiceArguments,
    /// What is asked for: `live`, the name of a gRPC service, `scenario/NAME`, or nothing for the service as a whole.
    #[arg(long = "service", value_name = "NAME", default_value = "")]
    name: String,
    /// Ask again until it serves, for this long at most, such as 30s.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    wait: Option<Duration>,
}

/// What a service answers.
enum HealthAnswer {
    Serving,
    /// It does not serve, or knows no such name; why.
    NotServing(String),
    /// Nothing answers; why.
    Silent(String),
}

impl HealthArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        in_runtime(async move {
            let address = match self.service.address(For::Health) {
                Ok(address) => address,
                Err(NoService::Usage(why) | NoService::Unreachable(why)) => {
                    print_error(why);
                    return Ok(ExitCode::from(BROKEN));
                }
            };
            let give_up = self.wait.map(|wait| Instant::now() + wait);
            loop {
                let answer = match self.ask(&address).await {
                    Ok(answer) => answer,
                    Err(why) => {
                        print_error(why);
                        return Ok(ExitCode::from(BROKEN));
                    }
                };
                let is_late = give_up.is_none_or(|late| Instant::now() + PAUSE >= late);
                match answer {
                    HealthAnswer::Serving => return Ok(ExitCode::SUCCESS),
                    HealthAnswer::NotServing(why) if is_late => {
                        print_error(why);
                        return Ok(ExitCode::FAILURE);
                    }
                    HealthAnswer::Silent(why) if is_late => {
                        print_error(why);
                        return Ok(ExitCode::from(SILENT));
                    }
                    HealthAnswer::NotServing(_) | HealthAnswer::Silent(_) => sleep(PAUSE).await,
                }
            }
        })
    }

    /// Asks once.
    ///
    /// # Errors
    /// The command line is at fault.
    async fn ask(&self, address: &ServiceAddress) -> Result<HealthAnswer, String> {
        let connection = match self.service.connect(address).await {
            Ok(connection) => connection,
            Err(NoService::Usage(why)) => return Err(why),
            Err(NoService::Unreachable(why)) => return Ok(HealthAnswer::Silent(why)),
        };
        let origin = connection.origin();
        let mut client = HealthClient::with_origin(connection, origin);
        let request = HealthCheckRequest {
            service: self.name.clone(),
        };
        let asking = client.check(request);
        Ok(match timeout(ANSWER_LIMIT, asking).await {
            Err(_) => {
                HealthAnswer::Silent(format!("{address} does not answer: it took over a second"))
            }
            Ok(Ok(answer)) => match answer.into_inner().status() {
                ServingStatus::Serving => HealthAnswer::Serving,
                _ if self.name.is_empty() => {
                    HealthAnswer::NotServing(format!("{address} takes no calls now"))
                }
                _ => HealthAnswer::NotServing(format!(
                    "{address}: `{}` is not served now",
                    self.name
                )),
            },
            Ok(Err(status)) if status.code() == Code::NotFound => {
                HealthAnswer::NotServing(format!(
                    "{address}: it reports no health under the name `{}`",
                    self.name
                ))
            }
            Ok(Err(status)) => HealthAnswer::Silent(format!(
                "{address} does not answer: {}; does it speak gRPC, and TLS where --ca or https:// says so?",
                shown(status.message())
            )),
        })
    }
}
