package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// dialer returns how connections are made. The files of t are read again for
// each, so that certificates can be renewed.
func dialer(t jobspecs.TLS) (dialFunc, error) {
	var network net.Dialer
	plain := func(ctx context.Context, proto, addr string) (net.Conn, error) {
		conn, err := network.DialContext(ctx, proto, addr)
		if err != nil {
			return nil, &DialError{Addr: addr, Err: err}
		}
		return conn, nil
	}
	if !t.Enabled {
		return func(ctx context.Context, proto, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			return plain(ctx, proto, addr)
		}, nil
	}
	if _, err := tlsConfig(t, ""); err != nil {
		return nil, err
	}
	return func(ctx context.Context, proto, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		config, err := tlsConfig(t, addr)
		if err != nil {
			return nil, err
		}
		conn, err := plain(ctx, proto, addr)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, &DialError{Addr: addr, TLS: true, Err: err}
		}
		return secure, nil
	}, nil
}

// tlsConfig reads the files of t, for a connection to addr.
func tlsConfig(t jobspecs.TLS, addr string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if host, _, err := net.SplitHostPort(addr); err == nil && config.ServerName == "" {
		config.ServerName = host
	}
	if t.CAFile != "" {
		pem, err := readFile("tls.caFile", t.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, exit.Environmentf("tls.caFile %s holds no certificate in PEM form", t.CAFile).
				WithHint("convert it: openssl x509 -in %s -out ca.pem; from a Java key store, keytool -exportcert -rfc", t.CAFile)
		}
	}
	if t.CertFile == "" && t.KeyFile == "" {
		return config, nil
	}
	cert, err := readFile("tls.certFile", t.CertFile)
	if err != nil {
		return nil, err
	}
	key, err := readFile("tls.keyFile", t.KeyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, exit.Environmentf("tls.certFile %s and tls.keyFile %s: %w", t.CertFile, t.KeyFile, err).
			WithHint("give a certificate and its unencrypted key, both in PEM form")
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
