package replay

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/internal/durable"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

const anchorFormat = "tapedeck-anchor/1"

// signedAnchor is a place of the log that somebody vouches for. Kept away from
// the log, it proves later that the log still holds all that it held then.
type signedAnchor struct {
	Format string `json:"format"`
	// Sequence is the last event of a frame, Chain the frame's chain value,
	// Logged when it was logged.
	Sequence uint64    `json:"sequence"`
	Chain    string    `json:"chain"`
	Logged   time.Time `json:"logged"`
	// FirstChain is the chain value of the first frame: which log this is.
	FirstChain string    `json:"first_chain"`
	SignedAt   time.Time `json:"signed_at"`
	// PublicKey and Signature are the raw bytes in base64.
	PublicKey []byte `json:"public_key"`
	Signature []byte `json:"signature"`
}

var errSignature = errors.New("the signature is not right")

// text is what is signed. Its first line keeps a signature from being taken
// for one of something else.
func (a signedAnchor) text() []byte {
	return fmt.Appendf(nil, "%s\nsequence %d\nchain %s\nlogged %s\nfirst_chain %s\nsigned_at %s\npublic_key %s\n",
		a.Format, a.Sequence, a.Chain, a.Logged.UTC().Format(time.RFC3339Nano), a.FirstChain,
		a.SignedAt.UTC().Format(time.RFC3339Nano), base64.StdEncoding.EncodeToString(a.PublicKey))
}

func (a *signedAnchor) sign(key ed25519.PrivateKey) {
	a.PublicKey = key.Public().(ed25519.PublicKey)
	a.Signature = ed25519.Sign(key, a.text())
}

func (a signedAnchor) checkpoint() (eventlog.Checkpoint, error) {
	chain, err := eventlog.ParseChain(a.Chain)
	return eventlog.Checkpoint{Sequence: a.Sequence, Chain: chain}, err
}

// verify checks the signature; trusted, when given, must be the key.
func (a signedAnchor) verify(trusted ed25519.PublicKey) error {
	if a.Format != anchorFormat {
		return fmt.Errorf("format %q, this version reads %q", a.Format, anchorFormat)
	}
	if len(a.PublicKey) != ed25519.PublicKeySize || !ed25519.Verify(a.PublicKey, a.text(), a.Signature) {
		return errSignature
	}
	if trusted != nil && !trusted.Equal(ed25519.PublicKey(a.PublicKey)) {
		return fmt.Errorf("%w: it is by the key %s, not by the one given", errSignature, base64.StdEncoding.EncodeToString(a.PublicKey))
	}
	return nil
}

func readAnchor(path string) (signedAnchor, error) {
	var a signedAnchor
	text, err := os.ReadFile(path)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a, json.RejectUnknownMembers(true)); err != nil {
		return a, fmt.Errorf("%s is no anchor: %w", path, err)
	}
	return a, nil
}

func (a signedAnchor) write(path string) error {
	text, err := json.Marshal(a, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return writeNew(path, append(text, '\n'), 0o644)
}

// writeNew writes a file that must not be there yet, and lets it appear whole.
func writeNew(path string, text []byte, mode fs.FileMode) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return usage("%s exists already and is not overwritten: name a new file", path)
	}
	return durable.WriteFile(path, text, mode)
}

// Keys are PEM as `openssl genpkey -algorithm ed25519` writes them.

// newKeyFiles makes a key: the private one at path, the public one at path.pub.
func newKeyFiles(path string) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	open, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	if err := writeNew(path+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: open}), 0o644); err != nil {
		return nil, err
	}
	return public, writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}

// readPrivateKey reads a PKCS#8 key. open tells that others than its owner may
// read the file.
func readPrivateKey(path string) (key ed25519.PrivateKey, open bool, err error) {
	der, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, false, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, false, usage("%s: %v", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, false, usage("%s holds a %T, want an ed25519 key", path, parsed)
	}
	stat, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	return key, runtime.GOOS != "windows" && stat.Mode().Perm()&0o077 != 0, nil
}

func readPublicKey(path string) (ed25519.PublicKey, error) {
	der, err := readPEM(path, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, usage("%s: %v", path, err)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, usage("%s holds a %T, want an ed25519 key", path, parsed)
	}
	return key, nil
}

func readPEM(path, kind string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, usage("%s is no PEM file with a %s", path, kind)
	}
	return block.Bytes, nil
}
