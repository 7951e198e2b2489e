"""The root certificate of the lab's certificate authority."""

from cryptography import x509

from lab import acme
from lab.settings import ACME_NAME
from lab.stacks import CHECKOUT, read


def test_the_demo_knows_the_authority() -> None:
    """The certificate in the stack file equals the lab's, byte for byte."""
    config = read(CHECKOUT / "stacks" / "Pulumi.demo.yaml")
    assert config["secrets"]["lab-ca"] == acme.server_ca()
    servers = {
        network["load_balancer"]["acme"]["ca_server"]
        for host in config["hosts"]
        for network in host["networks"]
    }
    assert servers == {acme.DIRECTORY}


def test_it_vouches_for_the_authoritys_address_alone() -> None:
    """It signs a server certificate for that one name, which is no authority itself."""
    authority = x509.load_pem_x509_certificate(acme.server_ca().encode())
    server = acme.server_certificate()
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [ACME_NAME]
    limits = server.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not limits.ca
