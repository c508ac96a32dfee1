package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

func TestCloudStorage(t *testing.T) {
	sandboxtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := platform(t).Storage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	bucket := c.Bucket("kappa-demo-batch")
	write := func(o *storage.ObjectHandle, data []byte, chunk int) error {
		w := o.NewWriter(ctx)
		w.ChunkSize = chunk
		w.ContentType = "application/avro"
		if _, err := w.Write(data); err != nil {
			return errors.Join(err, w.Close())
		}
		return w.Close()
	}
	read := func(o *storage.ObjectHandle, offset, length int64) string {
		t.Helper()
		r, err := o.NewRangeReader(ctx, offset, length)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	wantHTTP := func(what string, err error, code int) {
		t.Helper()
		var e *googleapi.Error
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: got %v, want status %d", what, err, code)
		}
	}

	wantHTTP("writing to a bucket that is not there", write(bucket.Object("early"), []byte("x"), 0), http.StatusNotFound)
	if err := bucket.Create(ctx, project, nil); err != nil {
		t.Fatal(err)
	}
	wantHTTP("bucket created twice", bucket.Create(ctx, project, nil), http.StatusConflict)

	const name = "flights/2001-01-08T00/part-00000.avro"
	o := bucket.Object(name)
	large := strings.Repeat("0123456789abcdef", 1<<16)       // 1 MiB
	if err := write(o, []byte(large), 256<<10); err != nil { // in four parts: a resumable upload
		t.Fatal(err)
	}
	if got := read(o, 0, -1); got != large {
		t.Errorf("read %d bytes, want %d", len(got), len(large))
	}
	if got := read(o, 16, 4); got != "0123" {
		t.Errorf("read the range %q", got)
	}
	attrs, err := o.Attrs(ctx)
	if err != nil || attrs.Size != 1<<20 || attrs.ContentType != "application/avro" || attrs.Generation == 0 {
		t.Errorf("attributes: %+v, %v", attrs, err)
	}
	if _, err := bucket.Object("missing").Attrs(ctx); !errors.Is(err, storage.ErrObjectNotExist) {
		t.Errorf("an object that is not there: %v", err)
	}
	if _, err := bucket.Object("missing").NewReader(ctx); !errors.Is(err, storage.ErrObjectNotExist) {
		t.Errorf("reading an object that is not there: %v", err)
	}

	// Pages, prefixes and folders.
	for i := range 25 {
		if err := write(bucket.Object(fmt.Sprintf("many/%02d", i)), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	pager := iterator.NewPager(bucket.Objects(ctx, &storage.Query{Prefix: "many/"}), 10, "")
	pages := 0
	for token := "-"; token != ""; pages++ {
		var page []*storage.ObjectAttrs
		if token, err = pager.NextPage(&page); err != nil {
			t.Fatal(err)
		}
		for _, a := range page {
			names = append(names, a.Name)
		}
	}
	if len(names) != 25 || pages != 3 || !slices.IsSorted(names) {
		t.Errorf("listed %v in %d pages", names, pages)
	}
	it := bucket.Objects(ctx, &storage.Query{Prefix: "flights/", Delimiter: "/"})
	if a, err := it.Next(); err != nil || a.Prefix != "flights/2001-01-08T00/" {
		t.Errorf("folders: %+v, %v", a, err)
	}

	// Preconditions: what history and leases rest on.
	lease := bucket.Object("lease")
	absent := storage.Conditions{DoesNotExist: true}
	if err := write(lease.If(absent), []byte("mine"), 0); err != nil {
		t.Fatal(err)
	}
	wantHTTP("taking a lease that is taken", write(lease.If(absent), []byte("theirs"), 0), http.StatusPreconditionFailed)
	attrs, err = lease.Attrs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stale := storage.Conditions{GenerationMatch: attrs.Generation - 1}
	wantHTTP("overwriting another generation", write(lease.If(stale), []byte("theirs"), 0), http.StatusPreconditionFailed)
	wantHTTP("deleting another generation", lease.If(stale).Delete(ctx), http.StatusPreconditionFailed)
	if got := read(lease, 0, -1); got != "mine" {
		t.Errorf("the lease reads %q", got)
	}
	wantHTTP("an unsupported precondition", lease.If(storage.Conditions{MetagenerationMatch: 1}).Delete(ctx), http.StatusNotImplemented)
	if err := lease.If(storage.Conditions{GenerationMatch: attrs.Generation}).Delete(ctx); err != nil {
		t.Errorf("deleting the generation that is there: %v", err)
	}
	if _, err := lease.Attrs(ctx); !errors.Is(err, storage.ErrObjectNotExist) {
		t.Errorf("after the deletion: %v", err)
	}
}
