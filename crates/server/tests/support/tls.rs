//! What the tests of TLS stand on: certificates made for the occasion, and a client that speaks it.

use std::io::{BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use swytch_testkit::{PATIENCE, Reply};

/// An authority, and a folder with its certificate and what it has signed.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) folder: PathBuf,
    name: String,
}

impl Authority {
    /// Whose certificate is in `NAME.crt`.
    pub(crate) fn new(folder: &Path, name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.join(format!("{name}.crt")), certificate.pem()).expect("a file");
        Authority { issuer: Issuer::new(params, key), folder: folder.to_owned(), name: name.to_owned() }
    }

    /// Signs a certificate for a name, into `NAME.crt` and `NAME.key`.
    pub(crate) fn sign(&self, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let certificate = named(name).signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(self.folder.join(format!("{name}.crt")), certificate.pem()).expect("a file");
        std::fs::write(self.folder.join(format!("{name}.key")), key.serialize_pem()).expect("a file");
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.folder.join(file).to_str().expect("text").to_owned()
    }

    /// A client that trusts this authority, and is called `name` if it is anybody.
    pub(crate) fn client(&self, name: Option<&str>) -> Caller {
        self.client_of(name, &[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    /// The same with these versions.
    pub(crate) fn client_of(
        &self,
        name: Option<&str>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Caller {
        let mut roots = RootCertStore::empty();
        let read =
            |file: String| CertificateDer::from_pem_file(self.folder.join(file)).expect("a certificate");
        roots.add(read(format!("{}.crt", self.name))).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key =
                    PrivateKeyDer::from_pem_file(self.folder.join(format!("{name}.key"))).expect("a key");
                builder.with_client_auth_cert(vec![read(format!("{name}.crt"))], key).expect("they match")
            }
        };
        Caller(Arc::new(config))
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Opens connections, and resumes sessions of earlier ones.
pub(crate) struct Caller(Arc<ClientConfig>);

impl Caller {
    /// A connection on which nothing was said.
    pub(crate) fn call(&self, port: u16) -> Secured {
        self.call_at(Ipv4Addr::LOCALHOST.into(), port)
    }

    /// The same to another address of this machine.
    pub(crate) fn call_at(&self, address: IpAddr, port: u16) -> Secured {
        let socket = TcpStream::connect((address, port)).expect("somebody listens");
        socket.set_nodelay(true).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::clone(&self.0), name).expect("a session");
        Secured(BufReader::new(StreamOwned::new(session, socket)))
    }
}

/// A connection with TLS.
pub(crate) struct Secured(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Secured {
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)?;
        self.0.get_mut().flush()
    }

    pub(crate) fn receive(&mut self) -> std::io::Result<Reply> {
        Reply::read(&mut self.0)
    }

    /// Sends a line of words, and returns the reply.
    pub(crate) fn ask(&mut self, line: &str) -> std::io::Result<Reply> {
        let words: Vec<&str> = line.split(' ').collect();
        self.send_raw(&swytch_testkit::client::encode(&words))?;
        self.receive()
    }

    #[track_caller]
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.ask(line).unwrap_or_else(|error| panic!("{line}: {error}")).to_string()
    }

    /// True when the server ends the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0; 1]).is_ok_and(|read| read == 0) || self.ask("PING").is_err()
    }

    pub(crate) fn session(&self) -> &ClientConnection {
        &self.0.get_ref().conn
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.0.get_ref().sock
    }
}
