//! How does a running service list and put prices, and price what was unknown, for a command? Through AdminService.

use std::process::ExitCode;
use std::time::SystemTime;

use crate::command::administrator::{AdminClient, AdminProof, NoAnswer, answered};
use crate::command::console::print;
use crate::grpc::{admin, answer, v1};

use super::lines::{ended, table_of};
use super::{PricesCommand, moment, prices_in, tell, tell_unknown};

/// Has the service do what the command says.
pub(super) async fn asked(
    mut client: AdminClient,
    proof: &AdminProof,
    command: PricesCommand,
    comment: String,
) -> Result<ExitCode, NoAnswer> {
    match command {
        PricesCommand::List { model, now } => {
            let mut prices = Vec::new();
            let mut page_token = String::new();
            loop {
                let request = v1::ListPricesRequest {
                    page_size: 1_000,
                    page_token,
                    model: model.clone().unwrap_or_default(),
                    at_time: now.then(|| answer::timestamp(SystemTime::now())),
                };
                let page = answered(client.list_prices(proof.with(request))).await?;
                prices.extend(page.prices);
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            print(table_of(&prices))?;
        }
        PricesCommand::Put { file, dry_run } => {
            let prices = prices_in(&file).map_err(NoAnswer::Usage)?;
            let request = v1::PutPricesRequest {
                prices: prices.iter().map(admin::wanted_spelled).collect(),
                dry_run,
                comment,
            };
            let done = answered(client.put_prices(proof.with(request))).await?;
            tell(ended(&done, dry_run), dry_run)?;
        }
        PricesCommand::PriceUnknown {
            since,
            until,
            model,
            dry_run,
        } => {
            let at = |option, text: &str| {
                let moment = moment(option, text).map_err(NoAnswer::Usage)?;
                Ok::<_, NoAnswer>(answer::timestamp(moment))
            };
            let asked = model.clone();
            let request = v1::PriceUnknownRequest {
                start_time: Some(at("--since", &since)?),
                end_time: until.map(|until| at("--until", &until)).transpose()?,
                model: model.unwrap_or_default(),
                dry_run,
                comment,
            };
            // It works through the ledger, however long that takes.
            let done = client.price_unknown(proof.with(request)).await?;
            tell_unknown(&done.into_inner(), asked.as_deref(), dry_run)?;
        }
        // It needs no service.
        PricesCommand::Import { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}
