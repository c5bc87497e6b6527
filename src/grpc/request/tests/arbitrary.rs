//! Is the parser sound whatever it is given?

use proptest::prelude::*;
use prost::Message as _;

use super::accepted::complete;
use super::*;
use crate::check::MAX_FAULTS;
use crate::error::Violation;

/// The complete request in bytes, with some of them changed: most still decode, to something odd.
pub(in crate::grpc) fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20);
    changes.prop_map(|changes| {
        let mut bytes = complete().encode_to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    })
}

fn odd_numbers() -> impl Strategy<Value = v1::GenerateRequest> {
    let duration = || {
        prop::option::of((any::<i64>(), any::<i32>())).prop_map(|duration| {
            duration.map(|(seconds, nanos)| prost_types::Duration { seconds, nanos })
        })
    };
    let cost = any::<Option<i64>>().prop_map(|nanos| {
        nanos.map(|amount_nanos| v1::Cost {
            amount_nanos,
            ..v1::Cost::default()
        })
    });
    let limits = (cost, any::<Option<i32>>(), duration(), duration()).prop_map(
        |(max_cost, max_attempts, max_time_to_first_token, max_gap_between_chunks)| {
            v1::CallLimits {
                max_cost,
                max_attempts,
                max_time_to_first_token,
                max_gap_between_chunks,
            }
        },
    );
    let sampling = (
        any::<Option<f64>>(),
        any::<Option<i32>>(),
        any::<Option<i64>>(),
    )
        .prop_map(|(temperature, top_k, seed)| v1::SamplingParams {
            temperature,
            top_k,
            seed,
            ..v1::SamplingParams::default()
        });
    (limits, sampling).prop_map(|(limits, sampling)| v1::GenerateRequest {
        limits: Some(limits),
        sampling: Some(sampling),
        ..good()
    })
}

/// What is refused is said to be so for at least one named field; what is accepted keeps its promises.
fn parse_soundly(request: v1::GenerateRequest) {
    match parse(request) {
        Ok(parsed) => {
            assert!(!parsed.request.messages.is_empty());
            for message in &parsed.request.messages {
                assert!(!message.parts.is_empty());
            }
            let temperature = parsed.request.sampling.temperature;
            assert!(temperature.is_none_or(|value| (0.0..=2.0).contains(&value)));
            assert_ne!(parsed.limits.first_content, Some(std::time::Duration::ZERO));
        }
        Err(Error::InvalidRequest(violations)) => {
            assert!((1..=MAX_FAULTS).contains(&violations.len()));
            for Violation { field, what } in violations {
                assert!(!field.is_empty() && !what.is_empty());
            }
        }
        Err(other) => panic!("{other}"),
    }
}

proptest! {
    #[test]
    fn no_message_makes_the_parser_panic(bytes in damaged()) {
        if let Ok(request) = v1::GenerateRequest::decode(bytes.as_slice()) {
            parse_soundly(request);
        }
    }

    #[test]
    fn no_number_makes_the_parser_panic(request in odd_numbers()) {
        parse_soundly(request);
    }
}
