"""The database over TLS, as WordPress' constants ask for it."""

import os
import shutil
import unittest

from stack import ROOT, Stack

# A certificate authority and a server's certificate for 127.0.0.1, by PHP's
# own OpenSSL, so that no other program is needed.
MAKE_CERTIFICATES = """
    $dir = $argv[1];
    $make = static function ( $name, $cn, $ca, $ca_key ) use ( $dir ) {
        $key = openssl_pkey_new( array( 'private_key_bits' => 2048 ) );
        $csr = openssl_csr_new( array( 'commonName' => $cn ), $key );
        $cert = openssl_csr_sign( $csr, $ca, $ca_key ?: $key, 2,
            array( 'digest_alg' => 'sha256' ), random_int( 1, 1 << 30 ) );
        openssl_x509_export_to_file( $cert, "$dir/$name.pem" );
        openssl_pkey_export_to_file( $key, "$dir/$name.key" );
        return array( $cert, $key );
    };
    list( $ca, $key ) = $make( 'ca', 'a test authority', null, null );
    $make( 'server', '127.0.0.1', $ca, $key );
    $make( 'other', 'another authority', null, null );
"""
SSL = "MYSQLI_CLIENT_SSL"
NO_VERIFY = "MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT"


class TlsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        cls.tls = s.path("tls")
        os.mkdir(cls.tls)
        os.chmod(cls.tls, 0o777)
        s.http_port = 80
        s.php(MAKE_CERTIFICATES, cls.tls)
        if ROOT:
            for name in os.listdir(cls.tls):
                shutil.chown(os.path.join(cls.tls, name), "mysql", "mysql")
        for name in os.listdir(cls.tls):
            os.chmod(os.path.join(cls.tls, name), 0o644)
        s.start_mariadb(ssl_ca=cls.path("ca.pem"),
                        ssl_cert=cls.path("server.pem"),
                        ssl_key=cls.path("server.key"))
        s.http_port = None
        cls.host = "127.0.0.1:%d" % s.db_port
        s.install_wordpress()
        s.install_action_scheduler()
        # From now on nobody gets in over TCP without it.
        s.mysql("ALTER USER wp@127.0.0.1 REQUIRE SSL")

    @classmethod
    def path(cls, name):
        return os.path.join(cls.tls, name)

    def check(self, extra):
        self.s.write_config(extra, db_host=self.host)
        return self.s.ctl("check")

    def test_without_tls_the_server_refuses(self):
        self.assertNotEqual(self.check("").returncode, 0)

    def test_tls_without_verification(self):
        done = self.check("define( 'MYSQL_CLIENT_FLAGS', %s | %s );"
                          % (SSL, NO_VERIFY))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_tls_with_the_right_authority(self):
        done = self.check("define( 'MYSQL_CLIENT_FLAGS', %s );\n"
                          "define( 'MYSQL_SSL_CA', '%s' );"
                          % (SSL, self.path("ca.pem")))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_tls_with_another_authority_is_refused(self):
        done = self.check("define( 'MYSQL_CLIENT_FLAGS', %s );\n"
                          "define( 'MYSQL_SSL_CA', '%s' );"
                          % (SSL, self.path("other.pem")))
        self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main()
