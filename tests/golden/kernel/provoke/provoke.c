// SPDX-License-Identifier: GPL-2.0
/* A kernel module that makes its kernel report what the golden tests read: write a case's name to /proc/provoke. It is
 * no part of the product, is built and loaded by `run` inside a virtual machine alone, and ruins the kernel it is loaded
 * into. */
#include <linux/delay.h>
#include <linux/kobject.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

MODULE_LICENSE("GPL");

static volatile int zero;

static noinline void provoke_null(void)
{
	*(volatile int *)8 = 1;
}

static noinline void provoke_jump(void)
{
	void (*nowhere)(void) = NULL;

	asm("" : "+r"(nowhere));
	nowhere();
}

static noinline void provoke_page(void)
{
	*(volatile int *)0xffffb00000001000UL = 1;
}

static noinline void provoke_gpf(void)
{
	*(volatile int *)0xdead000000000108UL = 1;
}

static noinline void provoke_divide(void)
{
	volatile int result = 7 / zero;

	(void)result;
}

static noinline void provoke_ud2(void)
{
	asm volatile("ud2");
}

static noinline void provoke_bug(void)
{
	BUG();
}

static noinline void provoke_warn(void)
{
	WARN_ON(1);
}

static noinline void provoke_message(void)
{
	WARN(1, "provoke: %s is %d\n", "it", 7);
}

static noinline void provoke_list(void)
{
	struct list_head head, item;

	INIT_LIST_HEAD(&head);
	list_add(&item, &head);
	head.next = &head;
	list_del(&item);
}

static noinline void provoke_atomic(void)
{
	preempt_disable();
	msleep(20);
	preempt_enable();
}

static noinline void spin(int seconds)
{
	unsigned long end = jiffies + seconds * HZ;

	preempt_disable();
	while (time_before(jiffies, end))
		cpu_relax();
	preempt_enable();
}

static noinline void provoke_hung(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_timeout(28 * HZ);
}

static noinline void provoke_refcount(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	refcount_inc(&count);
}

static noinline void provoke_vfree(void)
{
	vfree((void *)0xffffc90001234000UL);
}

static noinline void provoke_alloc(void)
{
	for (int i = 0; i < 2000; i++)
		if (!alloc_pages(GFP_ATOMIC, 9))
			break;
}

static noinline void provoke_slab(void)
{
	char *past = kmalloc(64, GFP_KERNEL);
	volatile char *byte;

	asm("" : "+r"(past));
	byte = past;
	for (int i = 0; i < 68; i++)
		byte[i] = 0x41;
	kfree((void *)byte);
}

static noinline void provoke_twice(void)
{
	(void)kobject_create_and_add("provoke_twice", kernel_kobj);
	(void)kobject_create_and_add("provoke_twice", kernel_kobj);
}

static int warning_thread(void *unused)
{
	provoke_message();
	return 0;
}

static noinline void provoke_two(void)
{
	struct task_struct *first = kthread_create(warning_thread, NULL, "first");
	struct task_struct *second = kthread_create(warning_thread, NULL, "second");

	kthread_bind(first, 0);
	kthread_bind(second, 1);
	wake_up_process(first);
	wake_up_process(second);
	msleep(500);
}

static noinline int deeper(int depth)
{
	volatile char room[512];

	room[depth & 511] = depth;
	return deeper(depth + 1) + room[(depth * 7) & 511];
}

static ssize_t written(struct file *file, const char __user *text, size_t len, loff_t *at)
{
	char name[32] = "";

	if (len >= sizeof(name) || copy_from_user(name, text, len))
		return -EINVAL;
	strim(name);
#define CASE(what) else if (!strcmp(name, #what)) provoke_##what();
	if (!strcmp(name, "spin"))
		spin(6);
	else if (!strcmp(name, "longspin"))
		spin(16);
	else if (!strcmp(name, "deep"))
		zero = deeper(0);
	CASE(null) CASE(jump) CASE(page) CASE(gpf) CASE(divide) CASE(ud2) CASE(bug) CASE(warn) CASE(message) CASE(list)
	CASE(atomic) CASE(hung) CASE(refcount) CASE(vfree) CASE(alloc) CASE(slab) CASE(twice) CASE(two)
	return len;
}

static const struct proc_ops operations = { .proc_write = written };

static int __init begin(void)
{
	return proc_create("provoke", 0200, NULL, &operations) ? 0 : -ENOMEM;
}
module_init(begin);
