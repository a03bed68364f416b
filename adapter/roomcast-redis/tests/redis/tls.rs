//! Encrypted connections.

use std::fs;
use std::process::Command;

use roomcast_redis::RedisFault;

use crate::ear::Ear;
use crate::server::{RedisServer, free_port};

/// The certificate has no signature of an authority.
#[test]
fn a_certificate_is_verified_unless_the_url_says_otherwise() {
    let folder = std::env::temp_dir().join(format!("roomcast-redis-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (key, cert) = (folder.join("key.pem"), folder.join("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (port, key, cert) = (free_port().to_string(), key.to_str().unwrap(), cert.to_str().unwrap());
    let options = ["--tls-port", &port, "--tls-auth-clients", "no", "--tls-key-file", key, "--tls-cert-file", cert];
    let server = RedisServer::start(&options);
    fs::remove_dir_all(&folder).unwrap();
    let ear = Ear::new(&format!("rediss://127.0.0.1:{port}"));
    let fault = ear.until_down();
    assert!(matches!(&fault, RedisFault::Unreachable(why) if why.contains("certificate")), "{fault}");
    let ear = Ear::on(&format!("rediss://127.0.0.1:{port}?ssl_cert_reqs=none"), "room");
    ear.bus.publish("room", "unseen").unwrap();
    assert_eq!(ear.message(), "unseen");
    drop(server);
}
