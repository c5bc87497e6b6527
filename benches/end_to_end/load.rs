//! Callers: a fixed number of them share a few connections and call as fast as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use modelway::grpc::v1;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::stream_generate_response::Event;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::Failed;
use super::cases::{Case, Kind};
use super::credentials::credited;
use super::process::Process;
use super::roles::Role;

/// Connections that callers share where nothing else is said.
pub(crate) const CONNECTIONS: usize = 4;

/// Clients on so many connections of their own.
pub(crate) async fn clients(
    process: &Process,
    connections: usize,
) -> Result<Vec<GenerationServiceClient<Channel>>, Failed> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let endpoint = Endpoint::from_shared(format!("http://{}", process.address))?;
        let channel = endpoint.tcp_nodelay(true).connect().await?;
        clients.push(GenerationServiceClient::new(channel));
    }
    Ok(clients)
}

/// The callers of a case, connected to one server.
pub(crate) struct Load {
    clients: Vec<GenerationServiceClient<Channel>>,
    request: v1::GenerateRequest,
    kind: Kind,
    callers: usize,
    role: Role,
}

impl Load {
    /// Connects the callers, who share so many connections.
    pub(crate) async fn connect(
        case: &Case,
        process: &Process,
        connections: usize,
    ) -> Result<Self, Failed> {
        Ok(Self {
            clients: clients(process, connections).await?,
            request: case.request(process.role),
            kind: case.kind,
            callers: case.callers,
            role: process.role,
        })
    }

    /// Makes so many calls. A call that is not answered as it should be ends the benchmark.
    pub(crate) async fn run(&self, calls: usize) -> Result<(), Failed> {
        let left = Arc::new(AtomicUsize::new(calls));
        let mut callers = JoinSet::new();
        for caller in 0..self.callers.min(calls) {
            let caller = Caller {
                client: self.clients[caller % self.clients.len()].clone(),
                request: self.request.clone(),
                kind: self.kind,
                role: self.role,
            };
            callers.spawn(caller.run(Arc::clone(&left)));
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        Ok(())
    }
}

struct Caller {
    client: GenerationServiceClient<Channel>,
    request: v1::GenerateRequest,
    kind: Kind,
    role: Role,
}

impl Caller {
    async fn run(mut self, left: Arc<AtomicUsize>) -> Result<(), Failed> {
        let take = |left: usize| left.checked_sub(1);
        while left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
        {
            match self.kind {
                Kind::Folded | Kind::Whole => self.unary().await?,
                Kind::Streamed(tokens) => self.stream(tokens).await?,
            }
        }
        Ok(())
    }

    fn request(&self) -> tonic::Request<v1::GenerateRequest> {
        credited(self.role, self.request.clone())
    }

    async fn unary(&mut self) -> Result<(), Failed> {
        let answer = self.client.generate(self.request()).await?;
        let answer = answer.into_inner();
        if self.role != Role::Floor && answer.attempts.len() != 1 {
            return Err(format!("{} attempts for one call", answer.attempts.len()).into());
        }
        let has_text = answer
            .output
            .is_some_and(|output| !output.parts.is_empty() || !output.text.is_empty());
        if has_text {
            Ok(())
        } else {
            Err("an answer without text".into())
        }
    }

    async fn stream(&mut self, tokens: usize) -> Result<(), Failed> {
        let answer = self.client.stream_generate(self.request()).await?;
        let mut answer = answer.into_inner();
        let mut deltas = 0;
        while let Some(message) = answer.message().await? {
            deltas += usize::from(matches!(message.event, Some(Event::TextDelta(_))));
        }
        // The floor forwards the few events without a token, too.
        if deltas >= tokens {
            Ok(())
        } else {
            Err(format!("{deltas} of {tokens} tokens").into())
        }
    }
}
