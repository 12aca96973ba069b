// Checks heads and proofs with the code that verifies Go's checksum database.
// Reads one JSON document, writes one line for each check: "ok", or what is wrong.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type request struct {
	Check   string
	Key     string   // verifier key, of a head
	Note    string   // of a head
	Proof   []string // base64, of inclusion and consistency
	Size    int64
	Root    string
	Index   int64
	Leaf    string
	OldSize int64
	OldRoot string
	Folder  string // of a whole tree: that in which `tile` lies
}

// tiles reads tiles of height 8 from a folder in the layout of tlog-tiles, whose paths name no height.
type tiles struct{ folder string }

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := strings.TrimPrefix(tile.Path(), "tile/8/")
		data, err := os.ReadFile(filepath.Join(t.folder, "tile", path))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// tree checks every leaf of a log against its head: each tile on the way is authenticated by the root.
func tree(r request) error {
	head := tlog.Tree{N: r.Size, Hash: hash(r.Root)}
	reader := tlog.TileHashReader(head, tiles{r.Folder})
	for first := int64(0); first < r.Size; first += 256 {
		tile := tlog.Tile{H: 8, L: -1, N: first / 256, W: int(min(256, r.Size-first))}
		path := strings.Replace(strings.TrimPrefix(tile.Path(), "tile/8/"), "data", "entries", 1)
		bundle, err := os.ReadFile(filepath.Join(r.Folder, "tile", path))
		if err != nil {
			return err
		}
		var indexes []int64
		var computed []tlog.Hash
		for len(bundle) > 0 {
			length := 2 + int(bundle[0])<<8 + int(bundle[1])
			computed = append(computed, tlog.RecordHash(bundle[2:length]))
			indexes = append(indexes, tlog.StoredHashIndex(0, first+int64(len(indexes))))
			bundle = bundle[length:]
		}
		stored, err := reader.ReadHashes(indexes)
		if err != nil {
			return err
		}
		if len(stored) != tile.W {
			return fmt.Errorf("bundle %d has %d leaves", tile.N, len(stored))
		}
		for i := range stored {
			if stored[i] != computed[i] {
				return fmt.Errorf("leaf %d is not the tree's", first+int64(i))
			}
		}
	}
	proof, err := tlog.ProveTree(r.Size, r.OldSize, reader)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, r.Size, head.Hash, r.OldSize, hash(r.OldRoot)); err != nil {
		return err
	}
	record, err := tlog.ProveRecord(r.Size, r.Index, reader)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(record, r.Size, head.Hash, r.Index, hash(r.Leaf))
}

func hash(text string) tlog.Hash {
	h, err := tlog.ParseHash(text)
	if err != nil {
		panic(err)
	}
	return h
}

func hashes(texts []string) []tlog.Hash {
	var list []tlog.Hash
	for _, text := range texts {
		list = append(list, hash(text))
	}
	return list
}

// head opens a signed note and reads the three lines that a checkpoint of ours shares with a tree of the database.
func head(r request) error {
	verifier, err := note.NewVerifier(r.Key)
	if err != nil {
		return err
	}
	opened, err := note.Open([]byte(r.Note), note.VerifierList(verifier))
	if err != nil {
		return err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return fmt.Errorf("not three lines that begin with the key's name")
	}
	if lines[1] != fmt.Sprint(r.Size) || hash(lines[2]) != hash(r.Root) {
		return fmt.Errorf("another size or root")
	}
	return nil
}

func check(r request) error {
	switch r.Check {
	case "head":
		return head(r)
	case "inclusion":
		return tlog.CheckRecord(hashes(r.Proof), r.Size, hash(r.Root), r.Index, hash(r.Leaf))
	case "tree":
		return tree(r)
	case "consistency":
		return tlog.CheckTree(hashes(r.Proof), r.Size, hash(r.Root), r.OldSize, hash(r.OldRoot))
	}
	return fmt.Errorf("no check named %q", r.Check)
}

func main() {
	var requests []request
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		panic(err)
	}
	for _, r := range requests {
		if err := check(r); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("ok")
		}
	}
}
