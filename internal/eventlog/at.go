package eventlog

import "context"

// CheckpointAt is the checkpoint behind a sequence, for whoever remembers no
// more than the sequence: reading goes on from there, and proves all that
// follows. A log that does not hold the sequence is a *CorruptError.
func (l *Log) CheckpointAt(ctx context.Context, sequence uint64) (Checkpoint, error) {
	if sequence == 0 {
		return Checkpoint{}, nil
	}
	si, err := l.stream(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	_, f, err := l.find(ctx, sequence, si.State.LastSeq)
	return Checkpoint{Sequence: sequence, Chain: f.Chain}, err
}
