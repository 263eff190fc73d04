//! `protocol:` of a listener or a service.

words! { /// `protocol` of a listener or a service
Protocol { Http, Tcp, Udp, }}
