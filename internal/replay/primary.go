package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/seed-744e3d1b/tapedeck/internal/settings"
)

// setPrimary tells the console from which tier readers shall read everything:
// "file", or "auto" for each kind's own tier.
func (e *Env) setPrimary(tier string) error {
	body, err := json.Marshal(map[string]string{"positions": tier, "records": tier, "trades": tier, "klines": tier})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.Context, e.CLI.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, e.CLI.ConsoleURL+"/v1/settings/primary", bytes.NewReader(body))
	if err != nil {
		return usage("--console-url %s: %v", settings.Redact(e.CLI.ConsoleURL), err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("the tier is where it should be, but readers were not switched to %q (is the console running? run this again): %w", tier, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<12)) // the status says enough
		return fmt.Errorf("the tier is where it should be, but the console refused to read from %q: %s: %s", tier, answer.Status, text)
	}
	fmt.Fprintf(e.Err, "readers now read from: %s\n", tier)
	return nil
}
