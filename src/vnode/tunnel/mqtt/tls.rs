//! TLS to the broker: rustls with ring, and the broker's certificate is always verified.
//!
//! Files are read at each connection: mounted Secrets change while the process runs. Must not: connect without verifying.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// What TLS stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The certificates that the broker's is verified against; the public authorities' without it.
    pub ca: Option<PathBuf>,
    /// This client's own certificate and key, where the broker asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The settings for a connection; an error is one sentence that names the file.
pub fn config(files: &Files) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &files.ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            for certificate in certificates(file)? {
                let added = roots.add(certificate);
                added.map_err(|error| format!("a certificate in {} can't be used: {error}", file.display()))?;
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS can't be set up: {error}"))?
        .with_root_certificates(roots);
    let Some((chain, key)) = &files.client else { return Ok(builder.with_no_client_auth()) };
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("the client key {} can't be read: {error}", key.display()))?;
    builder
        .with_client_auth_cert(certificates(chain)?, private)
        .map_err(|error| format!("{} and {} are no pair: {error}", chain.display(), key.display()))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable =
        |error: &dyn std::fmt::Display| format!("the certificates in {} can't be read: {error}", file.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))?.collect();
    match found {
        Ok(found) if found.is_empty() => Err(unreadable(&"there are none")),
        Ok(found) => Ok(found),
        Err(error) => Err(unreadable(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        let ca = |file: &str| Files { ca: Some(file.into()), client: None };
        let said = |files: &Files| config(files).err().unwrap_or_default();
        assert!(said(&ca("/nowhere/ca.pem")).starts_with("the certificates in /nowhere/ca.pem can't be read: "));
        assert!(said(&ca("/dev/null")).ends_with("/dev/null can't be read: there are none"));
        let pair = Files { ca: None, client: Some(("/dev/null".into(), "/nowhere/key.pem".into())) };
        assert!(said(&pair).starts_with("the client key /nowhere/key.pem can't be read: "));
        assert!(config(&Files::default()).is_ok());
    }
}
