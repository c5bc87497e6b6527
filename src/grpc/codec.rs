//! How do messages get into and out of gRPC's frames? As in tonic, with smaller buffers for each call.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// The prefix of a message: a flag for compression, and its length.
pub(super) const PREFIX_BYTES: usize = 5;

/// The buffer that a call keeps for the messages that it sends. tonic's default of 8 KiB would be a quarter of the
/// memory of an open stream, whose events have some 50 bytes each. A smaller one grows anew with each burst.
const SEND_BUFFER_BYTES: usize = 4 * 1024;

/// As in tonic: what is ready to be sent goes out as soon as it is this much.
const SEND_AT_BYTES: usize = 32 * 1024;

/// Protobuf messages in frames of gRPC.
#[derive(Debug, Clone)]
pub(super) struct LeanCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for LeanCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for LeanCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(SEND_BUFFER_BYTES, SEND_AT_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::default())
    }
}
