//! What does a request say in a provider's own words, and of its prompt cache?

use std::fmt::Arguments;

use crate::chat::{CacheRetention, Mark, ProviderOptions, ProviderPart, ServiceTier, Verbosity};
use crate::check::Faults;
use crate::grpc::v1;

use super::schema::{Schemas, object_of};

/// What is said of one part or tool.
pub(super) fn mark_of(
    cache: Option<v1::CacheBreakpoint>,
    options: Vec<v1::ProviderOptions>,
    field: Arguments<'_>,
    schemas: &Schemas<'_>,
    faults: &mut Faults,
) -> Mark {
    let cache = cache.map(|v1::CacheBreakpoint { retention }| {
        let field = format_args!("{field}.cache_breakpoint.retention");
        retention_of(retention, field, faults).unwrap_or(CacheRetention::Default)
    });
    let field = format_args!("{field}.provider_options");
    Mark {
        cache,
        options: options_of(options, field, schemas, faults),
    }
}

/// How long a prompt is kept; `None` if that is left to the provider.
pub(super) fn retention_of(
    retention: i32,
    field: Arguments<'_>,
    faults: &mut Faults,
) -> Option<CacheRetention> {
    match v1::CacheRetention::try_from(retention) {
        Ok(v1::CacheRetention::Unspecified) => None,
        Ok(v1::CacheRetention::Short) => Some(CacheRetention::Short),
        Ok(v1::CacheRetention::Long) => Some(CacheRetention::Long),
        Err(_) => {
            faults.add(field, "use CACHE_RETENTION_SHORT or CACHE_RETENTION_LONG");
            None
        }
    }
}

/// Fields in a provider's own words.
pub(super) fn options_of(
    options: Vec<v1::ProviderOptions>,
    field: Arguments<'_>,
    schemas: &Schemas<'_>,
    faults: &mut Faults,
) -> Vec<ProviderOptions> {
    let mut parsed = Vec::with_capacity(options.len());
    for (index, options) in options.into_iter().enumerate() {
        let v1::ProviderOptions {
            target,
            fields,
            optional,
        } = options;
        if target.is_empty() {
            faults.add(
                format_args!("{field}[{index}].target"),
                "name a wire format or a provider of the configuration",
            );
        }
        let field = format_args!("{field}[{index}].fields");
        let fields = object_of(fields, field, schemas, faults);
        parsed.push(ProviderOptions {
            target,
            fields: fields.unwrap_or_else(|| "{}".to_owned()),
            optional,
        });
    }
    parsed
}

/// A part that only its provider understands.
pub(super) fn provider_part_of(
    part: v1::ProviderPart,
    field: Arguments<'_>,
    schemas: &Schemas<'_>,
    faults: &mut Faults,
) -> Option<ProviderPart> {
    let v1::ProviderPart {
        provider,
        kind,
        content,
    } = part;
    let content = object_of(content, format_args!("{field}.content"), schemas, faults)?;
    Some(ProviderPart {
        provider,
        kind,
        content,
    })
}

/// What the provider gives for its price; `None` if that is left to it.
pub(super) fn service_tier_of(tier: i32, faults: &mut Faults) -> Option<ServiceTier> {
    match v1::ServiceTier::try_from(tier) {
        Ok(v1::ServiceTier::Unspecified) => None,
        Ok(v1::ServiceTier::Standard) => Some(ServiceTier::Standard),
        Ok(v1::ServiceTier::Priority) => Some(ServiceTier::Priority),
        Ok(v1::ServiceTier::Flex) => Some(ServiceTier::Flex),
        Ok(v1::ServiceTier::Batch) | Err(_) => {
            faults.add(
                "service_tier",
                "use SERVICE_TIER_STANDARD, SERVICE_TIER_PRIORITY or SERVICE_TIER_FLEX",
            );
            None
        }
    }
}

/// How wordy the answer is; `None` if that is left to the provider.
pub(super) fn verbosity_of(verbosity: i32, faults: &mut Faults) -> Option<Verbosity> {
    match v1::Verbosity::try_from(verbosity) {
        Ok(v1::Verbosity::Unspecified) => None,
        Ok(v1::Verbosity::Low) => Some(Verbosity::Low),
        Ok(v1::Verbosity::Medium) => Some(Verbosity::Medium),
        Ok(v1::Verbosity::High) => Some(Verbosity::High),
        Err(_) => {
            faults.add(
                "verbosity",
                "use VERBOSITY_LOW, VERBOSITY_MEDIUM or VERBOSITY_HIGH",
            );
            None
        }
    }
}
