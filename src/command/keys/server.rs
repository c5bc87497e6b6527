//! How does a running service make, list, replace and revoke keys for a command? Through AdminService, with a key.

use std::process::ExitCode;
use std::time::SystemTime;

use crate::command::administrator::{AdminClient, AdminProof, NoAnswer, answered};
use crate::command::console::{print, print_change};
use crate::grpc::{admin, answer, v1};

use super::KeysCommand;
use super::lines::{line_of, table_of};
use super::made::SecretPlace;

/// Has the service do what the command says.
pub(super) async fn asked(
    mut client: AdminClient,
    proof: &AdminProof,
    command: KeysCommand,
    comment: String,
) -> Result<ExitCode, NoAnswer> {
    match command {
        KeysCommand::Create(arguments) => {
            let shown = arguments.secret.shown().map_err(NoAnswer::Usage)?;
            let now = SystemTime::now();
            let scopes = arguments.scopes().unwrap_or_default();
            let wish = v1::Key {
                account: arguments.caller,
                display_name: arguments.name,
                scopes: scopes.iter().map(admin::scope).collect(),
                expire_time: arguments.expires.map(|life| answer::timestamp(now + life)),
                ..v1::Key::default()
            };
            let request = v1::CreateKeyRequest {
                key: Some(wish),
                comment,
            };
            match answered(client.create_key(proof.with(request))).await {
                Ok(v1::CreateKeyResponse { key, secret }) => hand_over(shown, secret, key),
                Err(unanswered) => {
                    shown.discard();
                    Err(unanswered)
                }
            }
        }
        KeysCommand::Rotate {
            id,
            overlap,
            secret,
        } => {
            let shown = secret.shown().map_err(NoAnswer::Usage)?;
            let request = v1::RotateKeyRequest {
                id,
                overlap: Some(answer::duration(overlap)),
                expire_time: None,
                comment,
            };
            match answered(client.rotate_key(proof.with(request))).await {
                Ok(v1::RotateKeyResponse { key, secret }) => hand_over(shown, secret, key),
                Err(unanswered) => {
                    shown.discard();
                    Err(unanswered)
                }
            }
        }
        KeysCommand::List { account } => {
            let mut keys = Vec::new();
            let mut page_token = String::new();
            loop {
                let request = v1::ListKeysRequest {
                    page_size: 1_000,
                    page_token,
                    account: account.clone().unwrap_or_default(),
                    state: 0,
                };
                let page = answered(client.list_keys(proof.with(request))).await?;
                keys.extend(page.keys);
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            print(table_of(&keys))?;
            Ok(ExitCode::SUCCESS)
        }
        KeysCommand::Revoke { id, let_calls_end } => {
            let request = v1::RevokeKeyRequest {
                id,
                comment,
                let_calls_end,
            };
            let revoked = answered(client.revoke_key(proof.with(request))).await?;
            print_change(revoked.key.as_ref().map(line_of).unwrap_or_default())?;
            Ok(ExitCode::SUCCESS)
        }
        KeysCommand::Show => Err(NoAnswer::Usage(
            "`show` works on the store itself: a secret is not sent anywhere; leave --server out"
                .to_owned(),
        )),
    }
}

fn hand_over(
    shown: SecretPlace,
    secret: String,
    key: Option<v1::Key>,
) -> Result<ExitCode, NoAnswer> {
    let about = key.as_ref().map(line_of).unwrap_or_default();
    shown
        .hand_over(&secret.into(), &about)
        .map_err(NoAnswer::Failed)
}
