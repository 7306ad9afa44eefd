/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/resolve.h"

#include "agent/base/log.h"
#include "agent/base/own.h"
#include "ike/limits.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct question {
	struct question *next;
	char tag[IKE_NAME_MAX];
	char name[RESOLVE_NAME_MAX];
	enum ip_family family;
	struct ip_addr answer;
};

struct queue {
	struct question *head;
	struct question **tail;
};

struct resolver {
	resolve_fn fn;
	void *context;
	sd_event_source *io;
	int wake; /* eventfd: answers wait */
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* for all below */
	pthread_cond_t asked;
	struct queue questions;
	struct queue answers;
	char in_work[IKE_NAME_MAX]; /* tag */
	unsigned waiting;
	bool stop;
};

static void queue_init(struct queue *queue)
{
	queue->head = NULL;
	queue->tail = &queue->head;
}

static void queue_push(struct queue *queue, struct question *question)
{
	question->next = NULL;
	*queue->tail = question;
	queue->tail = &question->next;
}

static struct question *queue_pop(struct queue *queue)
{
	struct question *first = queue->head;

	if (!first)
		return NULL;
	queue->head = first->next;
	if (!queue->head)
		queue->tail = &queue->head;
	return first;
}

static void queue_clear(struct queue *queue)
{
	for (struct question *q = queue_pop(queue); q; q = queue_pop(queue))
		free(q);
}

static void look_up(struct question *question)
{
	const struct addrinfo hints = {
		.ai_family = question->family == IP_V4	 ? AF_INET
			     : question->family == IP_V6 ? AF_INET6
							 : AF_UNSPEC,
		.ai_socktype = SOCK_DGRAM,
		.ai_flags = AI_ADDRCONFIG,
	};
	struct addrinfo *found = NULL;
	struct sockaddr_storage name = {0};
	struct endpoint endpoint;
	int rc = getaddrinfo(question->name, NULL, &hints, &found);

	if (rc) {
		log_warn("the name %s cannot be resolved: %s", question->name, gai_strerror(rc));
		return;
	}
	memcpy(&name, found->ai_addr, found->ai_addrlen < sizeof(name) ? found->ai_addrlen : sizeof(name));
	if (endpoint_from_sockaddr(&name, &endpoint))
		question->answer = endpoint.addr;
	freeaddrinfo(found);
}

static void *thread_run(void *context)
{
	struct resolver *r = context;
	const uint64_t one = 1;

	pthread_mutex_lock(&r->lock);
	while (!r->stop) {
		struct question *question = queue_pop(&r->questions);

		if (!question) {
			pthread_cond_wait(&r->asked, &r->lock);
			continue;
		}
		memcpy(r->in_work, question->tag, sizeof(r->in_work));
		pthread_mutex_unlock(&r->lock);
		look_up(question);
		pthread_mutex_lock(&r->lock);
		r->in_work[0] = '\0';
		queue_push(&r->answers, question);
		if (write(r->wake, &one, sizeof(one)) < 0)
			log_warn("resolver: %s", strerror(errno));
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

static int on_answers(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct resolver *r = context;
	struct queue answers;
	uint64_t count;

	(void)source;
	(void)events;
	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	queue_init(&answers);
	pthread_mutex_lock(&r->lock);
	for (struct question *q = queue_pop(&r->answers); q; q = queue_pop(&r->answers)) {
		queue_push(&answers, q);
		r->waiting--;
	}
	pthread_mutex_unlock(&r->lock);
	for (struct question *q = queue_pop(&answers); q; q = queue_pop(&answers)) {
		r->fn(r->context, q->tag, &q->answer);
		free(q);
	}
	return 0;
}

int resolver_new(sd_event *event, resolve_fn fn, void *context, struct resolver **out)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	r->fn = fn;
	r->context = context;
	queue_init(&r->questions);
	queue_init(&r->answers);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->asked, NULL);
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = r->wake < 0 ? -errno : sd_event_add_io(event, &r->io, r->wake, EPOLLIN, on_answers, r);
	if (rc < 0) {
		resolver_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->asked);
	pthread_mutex_unlock(&r->lock);
	if (r->running)
		pthread_join(r->thread, NULL);
	sd_event_source_disable_unref(r->io);
	own_close_(&r->wake);
	queue_clear(&r->questions);
	queue_clear(&r->answers);
	pthread_cond_destroy(&r->asked);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* With the lock held. */
static bool is_asked(const struct resolver *r, const char *tag)
{
	if (strcmp(r->in_work, tag) == 0)
		return true;
	for (const struct question *q = r->questions.head; q; q = q->next)
		if (strcmp(q->tag, tag) == 0)
			return true;
	return false;
}

static int question_add(struct resolver *r, struct question *question)
{
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	if (is_asked(r, question->tag))
		rc = -EALREADY;
	else if (r->waiting >= RESOLVE_WAITING_MAX)
		rc = -EBUSY;
	else {
		queue_push(&r->questions, question);
		r->waiting++;
		pthread_cond_signal(&r->asked);
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

int resolver_ask(struct resolver *r, const char *tag, const char *name, enum ip_family family)
{
	OWN_PTR struct question *question = calloc(1, sizeof(*question));
	int rc;

	if (!question)
		return -ENOMEM;
	if (strlen(tag) >= sizeof(question->tag) || strlen(name) >= sizeof(question->name))
		return -ENAMETOOLONG;
	memcpy(question->tag, tag, strlen(tag) + 1);
	memcpy(question->name, name, strlen(name) + 1);
	question->family = family;
	if (!r->running) {
		rc = pthread_create(&r->thread, NULL, thread_run, r);
		if (rc)
			return -rc;
		r->running = true;
	}
	rc = question_add(r, question);
	if (!rc)
		(void)TAKE_PTR(question);
	return rc == -EALREADY ? 0 : rc;
}
