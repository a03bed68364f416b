//! What TLS needs before the first connection.
//!
//! Owns: the choice of cryptography. Must never know: a connection.

use crate::fault::RedisFault;
use crate::url::TlsUse;

/// The feature `tls` brings the library, the program the choice of cryptography: one is made here unless there is one.
#[cfg(feature = "tls")]
pub(crate) fn prepare_tls(tls: TlsUse) -> Result<(), RedisFault> {
    if tls != TlsUse::Plain && rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster, with the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    Ok(())
}

#[cfg(not(feature = "tls"))]
pub(crate) fn prepare_tls(tls: TlsUse) -> Result<(), RedisFault> {
    match tls {
        TlsUse::Plain => Ok(()),
        TlsUse::Verified | TlsUse::Unverified => {
            Err(RedisFault::Other("rediss:// needs the feature `tls` of roomcast-redis".into()))
        }
    }
}
