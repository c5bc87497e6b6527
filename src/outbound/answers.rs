//! What do issuers answer? Pure.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{FetchError, Token};

/// The life of a token whose issuer does not say how long it is.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// The longest life that is believed.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest code of an error that is shown.
const LONGEST_CODE: usize = 64;

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    token_type: Option<String>,
    /// A number of seconds; Entra's managed identities write it as a string.
    expires_in: Option<Value>,
}

/// Reads the answer of a token endpoint (RFC 6749 section 5.1).
///
/// # Errors
/// [`FetchError::Unreadable`].
pub(super) fn token(body: &[u8]) -> Result<Token, FetchError> {
    let answer: TokenAnswer = serde_json::from_slice(body)
        .map_err(|_| FetchError::Unreadable("it is not the JSON of a token"))?;
    let is_bearer = answer
        .token_type
        .is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !is_bearer {
        return Err(FetchError::Unreadable("the token is not a bearer token"));
    }
    Ok(Token {
        text: text(answer.access_token)?.into(),
        lifetime: lifetime(answer.expires_in.as_ref())?,
    })
}

#[derive(Deserialize)]
struct Impersonated {
    #[serde(rename = "accessToken")]
    access_token: Option<String>,
}

/// Reads the answer of `generateAccessToken`, whose token lives as long as it was asked for.
///
/// # Errors
/// [`FetchError::Unreadable`].
pub(super) fn impersonated(body: &[u8], lifetime: Duration) -> Result<Token, FetchError> {
    let answer: Impersonated = serde_json::from_slice(body)
        .map_err(|_| FetchError::Unreadable("it is not the JSON of a token"))?;
    Ok(Token {
        text: text(answer.access_token)?.into(),
        lifetime,
    })
}

fn text(token: Option<String>) -> Result<String, FetchError> {
    let token = token.filter(|token| !token.is_empty());
    token.ok_or(FetchError::Unreadable("it holds no token"))
}

fn lifetime(expires_in: Option<&Value>) -> Result<Duration, FetchError> {
    let seconds = match expires_in {
        None | Some(Value::Null) => return Ok(ASSUMED_LIFETIME),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
    };
    match seconds {
        Some(seconds) if seconds >= 1.0 => {
            let seconds = seconds.min(LONGEST_LIFETIME.as_secs_f64());
            Ok(Duration::from_secs_f64(seconds))
        }
        Some(_) => Err(FetchError::Unreadable("the token has ended already")),
        None => Err(FetchError::Unreadable("the life of the token is no number")),
    }
}

#[derive(Deserialize)]
struct RefusedToken {
    error: Option<Value>,
    /// The numbers of Entra's errors.
    error_codes: Option<Vec<u64>>,
}

/// The code of an error, if the answer has one that looks like a code. Descriptions are not shown: they may repeat what
/// was sent.
pub(super) fn code(body: &[u8]) -> Option<String> {
    let refusal: RefusedToken = serde_json::from_slice(body).ok()?;
    let code = match refusal.error? {
        Value::String(code) => code,
        // Google's own APIs.
        Value::Object(error) => error.get("status")?.as_str()?.to_owned(),
        _ => return None,
    };
    let is_code = code.len() <= LONGEST_CODE
        && code
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    let number = refusal.error_codes.and_then(|codes| codes.first().copied());
    is_code.then(|| match number {
        Some(number) => format!("{code}, AADSTS{number}"),
        None => code,
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_life_of_a_token_is_read_however_it_is_written() {
        let table = [
            (r#"3599"#, Ok(3599)),
            (r#""3599""#, Ok(3599)),
            (r#"" 86399 ""#, Ok(86_399)),
            (r#"3599.9"#, Ok(3599)),
            (r#"1e300"#, Ok(86_400)),
            (r#""99999999999999999999999""#, Ok(86_400)),
            ("null", Ok(300)),
            ("0", Err("the token has ended already")),
            ("-1", Err("the token has ended already")),
            (r#""nan""#, Err("the token has ended already")),
            (r#""soon""#, Err("the life of the token is no number")),
            ("{}", Err("the life of the token is no number")),
        ];
        for (written, expected) in table {
            let body = format!(r#"{{"access_token":"t","expires_in":{written}}}"#);
            let found = token(body.as_bytes()).map(|token| token.lifetime.as_secs());
            assert_eq!(found, expected.map_err(FetchError::Unreadable), "{written}");
        }
        let assumed = token(br#"{"access_token":"t","token_type":"Bearer"}"#).expect("a token");
        assert_eq!(assumed.lifetime, ASSUMED_LIFETIME);
        assert_eq!(assumed.text.expose_secret(), "t");
    }

    #[test]
    fn what_is_no_token_is_not_taken_for_one() {
        let table = [
            ("", "it is not the JSON of a token"),
            ("<html>", "it is not the JSON of a token"),
            (r#"{"access_token":"t"#, "it is not the JSON of a token"),
            (r#"{"access_token":7}"#, "it is not the JSON of a token"),
            ("{}", "it holds no token"),
            (r#"{"access_token":""}"#, "it holds no token"),
            (
                r#"{"access_token":"t","token_type":"mac"}"#,
                "the token is not a bearer token",
            ),
        ];
        for (body, why) in table {
            let found = token(body.as_bytes()).map(drop);
            assert_eq!(found, Err(FetchError::Unreadable(why)), "{body}");
        }
        let hour = Duration::from_secs(3600);
        let found = impersonated(br#"{"accessToken":"t","expireTime":"x"}"#, hour);
        assert_eq!(found.expect("a token").lifetime, hour);
        assert!(impersonated(b"{}", hour).is_err());
    }

    #[test]
    fn an_error_is_known_by_its_code_and_never_by_its_description() {
        let table = [
            (
                r#"{"error":"invalid_grant","error_description":"s3cret"}"#,
                Some("invalid_grant"),
            ),
            (
                r#"{"error":"invalid_client","error_codes":[7000215]}"#,
                Some("invalid_client, AADSTS7000215"),
            ),
            (
                r#"{"error":{"status":"PERMISSION_DENIED","message":"s3cret"}}"#,
                Some("PERMISSION_DENIED"),
            ),
            (r#"{"error":"what a s3cret"}"#, None),
            (r#"{"error":7}"#, None),
            ("<html>", None),
        ];
        for (body, expected) in table {
            assert_eq!(code(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
