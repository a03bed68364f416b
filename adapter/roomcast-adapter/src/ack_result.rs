//! A handler's `Result` as an ack.
//!
//! Owns: [`ErrorArgs`], and what an `Ok` and an `Err` look like on the wire. Must never know: how an ack is sent.

use std::fmt;

use roomcast_core::socket_io::{Args, ArgsError};
use serde::Serialize;
use serde::ser::{Impossible, Serializer};

/// How an error that a handler returns looks in the ack; for error types that are not [`Serialize`].
///
/// The `Ok` of a handler's `Result` is the ack as if it were returned alone. An `Err` whose type is [`Serialize`] is the
/// ack `{"error": …}`; of any other type, what this trait says.
///
/// ```
/// use roomcast_adapter::{Args, Data, ErrorArgs, Namespace};
///
/// struct OutOfRange;
///
/// impl ErrorArgs for OutOfRange {
///     fn error_args(&self) -> Args {
///         Args::from_serialize(&serde_json::json!({ "status": "error", "code": 416 })).unwrap_or_default()
///     }
/// }
///
/// fn set_up(ns: &mut Namespace) {
///     // Acks `200`, or `{"status":"error","code":416}`.
///     ns.on("double", async |Data((number,)): Data<(u8,)>| number.checked_mul(2).ok_or(OutOfRange));
///     // Acks `200`, or `{"error":"out of range"}`.
///     ns.on("twice", async |Data((number,)): Data<(u8,)>| number.checked_mul(2).ok_or("out of range"));
/// }
/// ```
pub trait ErrorArgs {
    /// The arguments of the ack.
    fn error_args(&self) -> Args;
}

/// The arguments of an ack if `value` is a [`Result`]; `None` for anything else.
pub(crate) fn of_result<T: Serialize>(value: &T) -> Option<Result<Args, ArgsError>> {
    value.serialize(ResultOnly).ok()
}

/// The same as an `Err` of this text.
pub(crate) fn error_args(error: &str) -> Args {
    Args::from_serialize(&ErrorArgument { error }).unwrap_or_default()
}

/// Serializes a [`Result`], which serde knows as an enum of this name, and refuses anything else.
struct ResultOnly;

/// An `Err` as it is sent.
#[derive(Serialize)]
struct ErrorArgument<'a, T: ?Sized> {
    error: &'a T,
}

/// The value is no [`Result`].
#[derive(Debug)]
struct NotAResult;

impl fmt::Display for NotAResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a result")
    }
}

impl std::error::Error for NotAResult {}

impl serde::ser::Error for NotAResult {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

type NoCompound = Impossible<Result<Args, ArgsError>, NotAResult>;

macro_rules! refuse {
    ($($name:ident($($argument:ty),*) -> $some:ty;)*) => {
        $(fn $name(self, $(_: $argument),*) -> Result<$some, NotAResult> {
            Err(NotAResult)
        })*
    };
}

impl Serializer for ResultOnly {
    type Ok = Result<Args, ArgsError>;
    type Error = NotAResult;
    type SerializeSeq = NoCompound;
    type SerializeTuple = NoCompound;
    type SerializeTupleStruct = NoCompound;
    type SerializeTupleVariant = NoCompound;
    type SerializeMap = NoCompound;
    type SerializeStruct = NoCompound;
    type SerializeStructVariant = NoCompound;

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Self::Ok, NotAResult> {
        match (name, variant) {
            ("Result", "Ok") => Ok(Args::from_serialize(value)),
            ("Result", "Err") => Ok(Args::from_serialize(&ErrorArgument { error: value })),
            _ => Err(NotAResult),
        }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Self::Ok, NotAResult> {
        Err(NotAResult)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<Self::Ok, NotAResult> {
        Err(NotAResult)
    }

    refuse! {
        serialize_bool(bool) -> Self::Ok;
        serialize_i8(i8) -> Self::Ok;
        serialize_i16(i16) -> Self::Ok;
        serialize_i32(i32) -> Self::Ok;
        serialize_i64(i64) -> Self::Ok;
        serialize_i128(i128) -> Self::Ok;
        serialize_u8(u8) -> Self::Ok;
        serialize_u16(u16) -> Self::Ok;
        serialize_u32(u32) -> Self::Ok;
        serialize_u64(u64) -> Self::Ok;
        serialize_u128(u128) -> Self::Ok;
        serialize_f32(f32) -> Self::Ok;
        serialize_f64(f64) -> Self::Ok;
        serialize_char(char) -> Self::Ok;
        serialize_str(&str) -> Self::Ok;
        serialize_bytes(&[u8]) -> Self::Ok;
        serialize_none() -> Self::Ok;
        serialize_unit() -> Self::Ok;
        serialize_unit_struct(&'static str) -> Self::Ok;
        serialize_unit_variant(&'static str, u32, &'static str) -> Self::Ok;
        serialize_seq(Option<usize>) -> NoCompound;
        serialize_tuple(usize) -> NoCompound;
        serialize_tuple_struct(&'static str, usize) -> NoCompound;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> NoCompound;
        serialize_map(Option<usize>) -> NoCompound;
        serialize_struct(&'static str, usize) -> NoCompound;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> NoCompound;
    }
}
