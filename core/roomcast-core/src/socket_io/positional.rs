//! How Rust values and argument lists correspond: a tuple is a list, `()` none, anything else one argument.
//!
//! Owns: that rule, in both directions, by way of serde. Must never know: where arguments come from.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::ser::{Impossible, Serialize, Serializer};

use super::json::Values;

/// How many arguments a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arity {
    None,
    One,
    /// As many as the tuple has elements.
    Many,
}

/// Asks a value's own `Serialize`, which is stopped at its first step.
pub(super) fn arity_of<T: Serialize + ?Sized>(value: &T) -> Arity {
    match value.serialize(Probe) {
        Ok(arity) => arity,
        Err(ProbeStopped(arity)) => arity,
    }
}

/// Reads `T` from checked values.
pub(super) fn from_values<'de, T: Deserialize<'de>>(values: Values<'de>) -> Result<T, serde_json::Error> {
    T::deserialize(Arguments(values))
}

struct Arguments<'de>(Values<'de>);

/// Hands the first argument to the same method of serde_json.
macro_rules! first_argument {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, $($name: $type,)* visitor: V) -> Result<V::Value, Self::Error> {
            let text = self.0.next().unwrap_or(MISSING);
            serde_json::Deserializer::from_str(text).$method($($name,)* visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Arguments<'de> {
    type Error = serde_json::Error;

    first_argument! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Elements { values: self.0, left: len })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_tuple(len, visitor)
    }
}

/// Exactly as many elements as the tuple has.
struct Elements<'de> {
    values: Values<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = serde_json::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Self::Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let text = self.values.next().unwrap_or(MISSING);
        seed.deserialize(&mut serde_json::Deserializer::from_str(text)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A serializer that tells what it was asked for, and does nothing.
struct Probe;

/// The answer of a probe which may not succeed: serde wants compound types to go on.
#[derive(Debug)]
struct ProbeStopped(Arity);

impl std::fmt::Display for ProbeStopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped at the first step")
    }
}

impl std::error::Error for ProbeStopped {}

impl serde::ser::Error for ProbeStopped {
    /// A value that fails by itself is one argument, and fails again when it is written.
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self(Arity::One)
    }
}

macro_rules! one_argument {
    ($($method:ident($($type:ty),*);)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<Arity, ProbeStopped> {
            Ok(Arity::One)
        }
    )*};
}

impl Serializer for Probe {
    type Ok = Arity;
    type Error = ProbeStopped;
    type SerializeSeq = Impossible<Arity, ProbeStopped>;
    type SerializeTuple = Impossible<Arity, ProbeStopped>;
    type SerializeTupleStruct = Impossible<Arity, ProbeStopped>;
    type SerializeTupleVariant = Impossible<Arity, ProbeStopped>;
    type SerializeMap = Impossible<Arity, ProbeStopped>;
    type SerializeStruct = Impossible<Arity, ProbeStopped>;
    type SerializeStructVariant = Impossible<Arity, ProbeStopped>;

    one_argument! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn serialize_unit(self) -> Result<Arity, ProbeStopped> {
        Ok(Arity::None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Arity, ProbeStopped> {
        Ok(Arity::One)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<Arity, ProbeStopped> {
        Ok(Arity::One)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Arity, ProbeStopped> {
        Ok(Arity::One)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, ProbeStopped> {
        Err(ProbeStopped(Arity::One))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, ProbeStopped> {
        Err(ProbeStopped(Arity::Many))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, ProbeStopped> {
        Err(ProbeStopped(Arity::Many))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, ProbeStopped> {
        Err(ProbeStopped(Arity::One))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, ProbeStopped> {
        Err(ProbeStopped(Arity::One))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, ProbeStopped> {
        Err(ProbeStopped(Arity::One))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, ProbeStopped> {
        Err(ProbeStopped(Arity::One))
    }
}

/// What an argument that was not given reads as.
const MISSING: &str = "null";
