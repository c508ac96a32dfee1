package dataflow

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	maxMessages      = 5000 // kept per job; the job's log file has everything
	tailLines        = 10   // log lines shown in the message of a failed job
	maxMessageLength = 10_000
	messagesPage     = 100
	maxMessagesPage  = 1000
)

// messageLog holds a job's newest messages.
type messageLog struct {
	first int // number of messages[0], from 0
	list  []*pb.JobMessage
	tail  []string // newest log lines of the child
}

func (l *messageLog) add(at time.Time, importance pb.JobMessageImportance, text string) {
	if len(text) > maxMessageLength {
		text = strings.ToValidUTF8(text[:maxMessageLength], "") + "…"
	}
	if len(l.list) == maxMessages {
		// Drop a tenth at once, so that a chatty child does not cost a copy a line.
		l.list = append(l.list[:0:0], l.list[maxMessages/10:]...)
		l.first += maxMessages / 10
	}
	l.list = append(l.list, &pb.JobMessage{
		Id:   strconv.Itoa(l.first + len(l.list)),
		Time: timestamppb.New(at), MessageText: text, MessageImportance: importance,
	})
}

// addLine adds a log line of the child.
func (l *messageLog) addLine(at time.Time, text string) {
	if len(l.tail) == tailLines {
		l.tail = l.tail[1:]
	}
	l.tail = append(l.tail, text)
	l.add(at, importance(text), text)
}

func (l *messageLog) lastLines() string {
	if len(l.tail) == 0 {
		return " It logged nothing."
	}
	return " Its last log lines:\n" + strings.Join(l.tail, "\n")
}

var levelPattern = regexp.MustCompile(`\blevel=(DEBUG|INFO|WARN|ERROR)|^[0-9/: .]*(DEBUG|INFO|WARN|WARNING|ERROR|FATAL|panic)\b`)

// importance reads the level of a log line: slog's JSON and text forms, and
// lines that begin with a level.
func importance(line string) pb.JobMessageImportance {
	level := ""
	if strings.HasPrefix(line, "{") {
		var entry struct {
			Level    string `json:"level"`
			Severity string `json:"severity"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil {
			level = strings.ToUpper(entry.Level + entry.Severity)
		}
	} else if m := levelPattern.FindStringSubmatch(line); m != nil {
		level = m[1] + m[2]
	}
	switch {
	case strings.HasPrefix(level, "DEBUG"):
		return pb.JobMessageImportance_JOB_MESSAGE_DEBUG
	case strings.HasPrefix(level, "WARN"):
		return pb.JobMessageImportance_JOB_MESSAGE_WARNING
	case strings.HasPrefix(level, "ERROR"), level == "FATAL", level == "PANIC", level == "panic":
		return pb.JobMessageImportance_JOB_MESSAGE_ERROR
	}
	return pb.JobMessageImportance_JOB_MESSAGE_DETAILED
}

// rank orders importances: the numbers of the enum do not.
func rank(i pb.JobMessageImportance) int {
	switch i {
	case pb.JobMessageImportance_JOB_MESSAGE_DEBUG:
		return 1
	case pb.JobMessageImportance_JOB_MESSAGE_DETAILED:
		return 2
	case pb.JobMessageImportance_JOB_MESSAGE_BASIC:
		return 3
	case pb.JobMessageImportance_JOB_MESSAGE_WARNING:
		return 4
	case pb.JobMessageImportance_JOB_MESSAGE_ERROR:
		return 5
	}
	return 0
}

type messagesService struct {
	pb.UnimplementedMessagesV1Beta3Server
	*Server
}

// ListJobMessages lists a job's messages, oldest first.
func (s messagesService) ListJobMessages(_ context.Context, req *pb.ListJobMessagesRequest) (*pb.ListJobMessagesResponse, error) {
	j, err := s.find(req.GetProjectId(), req.GetLocation(), req.GetJobId())
	if err != nil {
		return nil, err
	}
	from := 0
	if t := req.GetPageToken(); t != "" {
		if from, err = strconv.Atoi(t); err != nil || from < 0 {
			return nil, status.Errorf(codes.InvalidArgument, "The page token %q is invalid.", t)
		}
	}
	size := int(req.GetPageSize())
	if size < 0 {
		return nil, status.Errorf(codes.InvalidArgument, "The page size %d is invalid.", size)
	}
	if size == 0 {
		size = messagesPage
	}
	size = min(size, maxMessagesPage)
	j.mu.Lock()
	defer j.mu.Unlock()
	resp := &pb.ListJobMessagesResponse{}
	for i, m := range j.messages.list {
		n := j.messages.first + i
		if n < from || rank(m.GetMessageImportance()) < rank(req.GetMinimumImportance()) {
			continue
		}
		at := m.GetTime().AsTime()
		if t := req.GetStartTime(); t != nil && at.Before(t.AsTime()) {
			continue
		}
		if t := req.GetEndTime(); t != nil && !at.Before(t.AsTime()) {
			continue
		}
		if len(resp.JobMessages) == size {
			// The token is the number of the next message, so that it stays
			// right while messages are added and dropped.
			resp.NextPageToken = fmt.Sprint(n)
			break
		}
		resp.JobMessages = append(resp.JobMessages, m)
	}
	return resp, nil
}
