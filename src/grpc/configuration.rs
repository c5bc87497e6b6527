//! How is the state of the configuration spelled?

use crate::certificate::{Certificate, CertificateFile};
use crate::serving::control::configuration::{
    ConfigurationMistake, ConfigurationState, ConfigurationView, SecretFact,
};

use super::v1;

/// What runs, and what the file says.
pub(super) fn response(seen: ConfigurationView) -> v1::GetConfigurationResponse {
    let ConfigurationView {
        state,
        secrets,
        generations,
    } = seen;
    let ConfigurationState {
        running_hash,
        running_since,
        certificates,
        file,
    } = state;
    let mut response = v1::GetConfigurationResponse {
        running_hash,
        running_since: Some(running_since.into()),
        secrets: secrets.into_iter().map(secret).collect(),
        certificates: certificates.into_iter().map(certificate).collect(),
        generations: i64::try_from(generations).unwrap_or(i64::MAX),
        ..v1::GetConfigurationResponse::default()
    };
    if let Some(file) = file {
        response.rejected = file.is_rejected();
        response.file = file.path;
        response.file_hash = file.hash;
        response.file_checked_time = Some(file.checked.into());
        response.mistakes = file.mistakes.into_iter().map(mistake).collect();
        response.restart_needed = file.restart_needed;
    }
    response
}

fn mistake(mistake: ConfigurationMistake) -> v1::ConfigurationMistake {
    let ConfigurationMistake {
        line,
        path,
        what,
        remedy,
    } = mistake;
    v1::ConfigurationMistake {
        line: i64::try_from(line).unwrap_or(i64::MAX),
        path,
        what,
        remedy,
    }
}

fn secret(secret: SecretFact) -> v1::Secret {
    let SecretFact { name, changed } = secret;
    v1::Secret {
        name,
        changed_time: Some(changed.into()),
    }
}

fn certificate(file: CertificateFile) -> v1::Certificate {
    let CertificateFile {
        usage,
        path,
        together,
    } = file;
    let Certificate {
        not_before: _,
        not_after,
        fingerprint,
    } = together;
    v1::Certificate {
        r#use: usage.name().to_owned(),
        name: path,
        not_after_time: Some(not_after.into()),
        fingerprint,
    }
}
