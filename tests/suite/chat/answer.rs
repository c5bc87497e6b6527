//! What an answer says besides its text, and that it says the same however it is read.

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::{
    CostSource, FinishReason, GenerateRequest, GenerateResponse, Message, ReasoningEffort,
    ReasoningOptions, Role, UsageSource,
};
use modelway::simulator::text;

use crate::support::{METHODS, ask, message, text_of};

use super::tools::ask_with_tools;
use super::{FORMATS, SIGNATURE, received, start};

#[tokio::test]
async fn reasoning_is_given_out_and_replayed_with_its_signature_to_its_provider_only() {
    for method in METHODS {
        let gateway = start("reasoning=6+tokens=24").await;
        for format in FORMATS {
            let mut request = GenerateRequest {
                reasoning: Some(ReasoningOptions {
                    effort: ReasoningEffort::Low.into(),
                    include_reasoning: true,
                    ..ReasoningOptions::default()
                }),
                ..ask(format, "Hello")
            };

            let response = gateway.call(method, request.clone()).await.unwrap();
            request.messages.push(response.output.clone().unwrap());
            request.messages.push(message(Role::User, "And then?"));
            for scenario in FORMATS {
                request.scenario = scenario.to_owned();
                gateway.call(method, request.clone()).await.unwrap();
            }

            assert_eq!(text_of(&response), text(24), "{format} {method:?}");
            assert_eq!(reasoning_of(&response), text(6), "{format} {method:?}");
            for other in FORMATS {
                let sent = received(&gateway, other).to_string();
                let is_signed = other == format && format != "openai";
                assert_eq!(sent.contains(SIGNATURE), is_signed, "{format} to {other}");
                assert!(sent.contains(&text(24)), "{format} to {other}");
            }
        }
    }
}

fn reasoning_of(response: &GenerateResponse) -> String {
    let output = response.output.as_ref().unwrap();
    let texts = output.parts.iter().map(|part| match &part.part {
        Some(Part::Reasoning(reasoning)) => reasoning.text.as_str(),
        _ => "",
    });
    texts.collect()
}

#[tokio::test]
async fn tokens_and_their_price_are_reported() {
    let gateway = start("reasoning=6+tokens=24").await;
    for format in FORMATS {
        for suffix in ["", "-whole"] {
            for method in METHODS {
                let request = ask(&format!("{format}{suffix}"), "One two three four");

                let response = gateway.call(method, request).await.unwrap();

                let usage = response.usage.unwrap();
                assert_eq!(usage.input_tokens, 4, "{format}");
                assert_eq!(usage.output_tokens, 30, "{format}");
                // Anthropic does not count them apart.
                let reasoning = if format == "anthropic" { 0 } else { 6 };
                assert_eq!(usage.reasoning_output_tokens, reasoning, "{format}");
                assert_eq!(usage.source(), UsageSource::Provider);
                let cost = response.cost.as_ref().unwrap();
                assert_eq!(cost.currency_code, "USD");
                assert_eq!(cost.amount_nanos, (4 * 2 + 30 * 10) * 1000, "{format}");
                assert_eq!(cost.source(), CostSource::PriceTable);
                assert_eq!(response.attempts[0].usage, response.usage);
                assert_eq!(response.attempts[0].cost, response.cost);
            }
        }
    }
}

#[tokio::test]
async fn every_finish_reason_is_told_in_our_words_and_the_providers() {
    let table = [
        (
            "finish=stop",
            FinishReason::Stop,
            ["stop", "end_turn", "STOP"],
        ),
        (
            "finish=length",
            FinishReason::MaxTokens,
            ["length", "max_tokens", "MAX_TOKENS"],
        ),
        (
            "call=lookup",
            FinishReason::ToolCalls,
            ["tool_calls", "tool_use", "STOP"],
        ),
        (
            "finish=content-filter",
            FinishReason::ContentFilter,
            ["content_filter", "refusal", "SAFETY"],
        ),
    ];
    for (behaviour, reason, spelled) in table {
        let gateway = start(behaviour).await;
        for (format, spelled) in FORMATS.into_iter().zip(spelled) {
            for method in METHODS {
                let response = gateway.call(method, ask_with_tools(format)).await.unwrap();

                assert_eq!(response.finish_reason(), reason, "{format} {behaviour}");
                assert_eq!(response.provider_finish_reason, spelled, "{behaviour}");
            }
        }
    }
}

/// What must be the same however an answer was read: all but ids, times and the attempts' spans.
fn essence(mut response: GenerateResponse) -> (Message, String) {
    let mut output = response.output.take().unwrap();
    for part in &mut output.parts {
        if let Some(Part::ToolCall(call)) = &mut part.part {
            call.id = "id".to_owned();
        }
    }
    let GenerateResponse {
        finish_reason,
        usage,
        cost,
        provider,
        provider_finish_reason,
        warnings,
        stop_sequence,
        ..
    } = response;
    let rest = format!(
        "{finish_reason} {usage:?} {cost:?} {provider} {provider_finish_reason} {warnings:?} \
         {stop_sequence}"
    );
    (output, rest)
}

#[tokio::test]
async fn an_answer_is_the_same_unary_streamed_and_read_whole() {
    for behaviour in [
        "tokens=24",
        "tokens=0",
        "reasoning=6+tokens=24",
        "reasoning=6+call=lookup+call=weather",
        "text=First this.+call=lookup",
        "finish=length",
        "finish=content-filter",
        "slice=7+reasoning=6",
    ] {
        let gateway = start(behaviour).await;
        for format in FORMATS {
            let unary = gateway.generate(ask_with_tools(format)).await.unwrap();
            let streamed = gateway.stream(ask_with_tools(format)).await;
            let whole = ask_with_tools(&format!("{format}-whole"));
            let whole = gateway.generate(whole).await.unwrap();

            let unary = essence(unary);
            let streamed = essence(streamed.into_response().unwrap());
            assert_eq!(streamed, unary, "streamed, {format} {behaviour}");
            assert_eq!(essence(whole), unary, "whole, {format} {behaviour}");
        }
    }
}
